use super::*;

const LONG: Duration = Duration::from_secs(3600);
const ONE: Payer = Payer([1, 0]);
const OTHER: Payer = Payer([2, 0]);

fn most(all: usize, each: usize) -> Most {
    Most { all, each }
}

#[test]
fn large_messages_share_a_budget_and_small_ones_are_free() {
    let budget = Arc::new(Budget::default());
    let (mut one, mut other) = (budget.begin(ONE), budget.begin(OTHER));
    let hundred = most(100, 100);
    assert!(one.grow_to(FREE, most(0, 0)));
    assert!(one.grow_to(FREE + 60, hundred));
    assert!(other.grow_to(FREE + 40, hundred));
    assert!(!other.grow_to(FREE + 41, hundred));
    assert!(budget.begin(ONE).grow_to(FREE, hundred));
    drop(one);
    assert!(other.grow_to(FREE + 100, hundred));
    assert!(other.grow_to(FREE, most(0, 0)), "it does not shrink");
    drop(other);
    let taken = lock(&budget.taken);
    assert!(taken.all == 0 && taken.each.is_empty());
}

#[test]
fn one_child_cannot_take_what_is_there_for_all() {
    let budget = Arc::new(Budget::default());
    let quarter = most(100, 25);
    let (mut one, mut more) = (budget.begin(ONE), budget.begin(ONE));
    assert!(one.grow_to(FREE + 20, quarter) && more.grow_to(FREE + 5, quarter));
    assert!(!more.grow_to(FREE + 6, quarter));
    assert!(budget.begin(OTHER).grow_to(FREE + 25, quarter));
    drop(one);
    assert!(more.grow_to(FREE + 25, quarter));
}

#[tokio::test]
async fn whoever_can_wait_goes_on_when_there_is_room() {
    let budget = Arc::new(Budget::default());
    let (mut one, mut other) = (budget.begin(ONE), budget.begin(OTHER));
    let (length, ten) = (FREE + 10, most(10, 10));
    assert!(one.grow_to(length, ten));
    assert!(!other.wait_to_grow_to(length, ten, Duration::ZERO).await);
    let free = async { drop(one) };
    let (grown, ()) = tokio::join!(other.wait_to_grow_to(length, ten, LONG), free);
    assert!(grown);
}
