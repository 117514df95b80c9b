use super::*;
use crate::counters::Counters;
use crate::tap::bridge::Rules;
use crate::tap::bridge::caller::{Caller, Keys};
use crate::tap::bridge::child::Child;
use crate::tap::bridge::modern::Shared;

const LONG: Duration = Duration::from_secs(60);

/// A bridge whose places are taken by shared children.
struct World {
    bridge: Arc<Bridge>,
    children: Vec<Arc<Shared>>,
    places: Vec<Place>,
}

impl World {
    fn with(children: usize) -> Self {
        let bridge = Bridge::start(Rules::of_any(), Arc::new(Counters::default()));
        let (mut shared, mut places) = (Vec::new(), Vec::new());
        for number in 0..children {
            let (child, place) = begin(&bridge, number);
            shared.push(child);
            places.push(place);
        }
        Self {
            bridge,
            children: shared,
            places,
        }
    }

    /// Nobody has used the children for long, the first of them for longest.
    fn age(&self) -> Instant {
        let now = clock::instant();
        for (number, child) in (0..).zip(&self.children) {
            child.used_at(now - LONG + Duration::from_secs(number));
        }
        now
    }

    fn ended(&self) -> Vec<bool> {
        let ended = self.children.iter().map(|child| child.is_ending());
        ended.collect()
    }
}

fn begin(bridge: &Arc<Bridge>, number: usize) -> (Arc<Shared>, Place) {
    let ending = Ending::default();
    let mut headers = http::HeaderMap::new();
    headers.insert(http::header::AUTHORIZATION, number.into());
    let caller = Caller::new(&Keys::default(), &headers, None, None);
    let child = Child::unstarted(ending.clone());
    let shared = Shared::new(bridge, &bridge.rules(), child, caller.clone());
    let shared = Arc::new(shared);
    lock(&bridge.places)
        .callers
        .insert(caller, Arc::clone(&shared));
    (shared, bridge.room.take(ending))
}

#[tokio::test]
async fn as_many_children_give_way_as_requests_wait_those_that_were_idle_for_longest() {
    let world = World::with(3);
    let bridge = &world.bridge;
    let _one = bridge.room.wait();
    assert!(!bridge.make_room(clock::instant()), "all were just used");
    let now = world.age();
    drop(world.children[0].hold());
    assert!(bridge.make_room(now) && bridge.make_room(now));
    assert_eq!(world.ended(), [false, true, false]);
    let _other = bridge.room.wait();
    assert!(bridge.make_room(now));
    assert_eq!(world.ended(), [false, true, true]);
    let _third = bridge.room.wait();
    let _in_use = world.children[0].hold();
    assert!(bridge.make_room(now), "two places come");
    assert_eq!(world.ended(), [false, true, true]);
}

#[tokio::test]
async fn a_child_that_cannot_end_keeps_its_place_and_no_other_ones() {
    let mut world = World::with(2);
    let bridge = Arc::clone(&world.bridge);
    let now = world.age();
    let _waits = bridge.room.wait();
    assert!(bridge.make_room(now));
    assert_eq!(world.ended(), [true, false]);
    // It is still there.
    let later = clock::instant() + LONG;
    assert_eq!(bridge.room.coming(later), (0, 1));
    bridge.make_room(later);
    assert_eq!(world.ended(), [true, true]);
    world.places.clear();
    assert_eq!(bridge.room.taken(), 0);
}

#[tokio::test]
async fn whoever_waits_gets_the_place_that_becomes_free() {
    let mut world = World::with(1);
    let bridge = Arc::clone(&world.bridge);
    let start = || match bridge.room.taken() {
        0 => Ok(()),
        max => Err(NoChild::Full { max }),
    };
    let refused = bridge.when_there_is_room(start).await;
    assert!(matches!(refused, Err(NoChild::Full { max: 1 })));
    world.children[0].end();
    let free = async { drop(world.places.pop()) };
    let (started, ()) = tokio::join!(bridge.when_there_is_room(start), free);
    started.expect("a place");
    assert_eq!(lock(&bridge.room.state).waiting, 0);
}
