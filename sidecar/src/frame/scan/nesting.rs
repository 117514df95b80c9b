//! Takes the brackets of a value as they open and close. Gives the depth and the kind of the innermost one.
//! Never recurses: a level of nesting is one bit.

/// The open containers, innermost last.
#[derive(Debug, Default)]
pub(super) struct Nesting {
    depth: u32,
    /// A set bit is an object, any other an array.
    objects: Vec<u64>,
}

impl Nesting {
    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    pub(super) fn reset(&mut self) {
        self.depth = 0;
        self.objects.clear();
        self.objects.shrink_to(1024);
    }

    pub(super) fn push(&mut self, object: bool) {
        let (word, bit) = (self.depth as usize / 64, self.depth % 64);
        if word >= self.objects.len() {
            self.objects.push(0);
        }
        if let Some(bits) = self.objects.get_mut(word) {
            *bits = (*bits & !(1 << bit)) | (u64::from(object) << bit);
        }
        self.depth += 1;
    }

    pub(super) fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    pub(super) fn in_object(&self) -> bool {
        self.depth.checked_sub(1).is_some_and(|top| {
            self.objects
                .get(top as usize / 64)
                .is_some_and(|bits| bits >> (top % 64) & 1 == 1)
        })
    }
}
