//! The CAs that one Secret holds: the one that signs, the one that will follow, and those that came before.
//!
//! All replicas derive the bundle from this and from nothing else, which is how they agree without a leader. The
//! transitions are pure; storing them is the room next door.

use jiff::Timestamp;

use crate::authority::{Authority, CaCertificate};
use crate::bundle::Bundle;

/// The most CAs that are ever trusted at once.
pub const MOST_TRUSTED: usize = 3;

/// CAs by their role.
#[derive(Debug, Clone)]
pub struct Succession {
    /// Signs the serving certificates.
    pub current: Authority,
    /// Is trusted already and will sign once every API server knows it.
    pub next: Option<Authority>,
    /// Signed before and is trusted still, the latest in front.
    pub previous: Vec<CaCertificate>,
}

impl Succession {
    /// A new CA; `keep` is what replicas may still be serving from.
    pub fn new(current: Authority, keep: Option<CaCertificate>) -> Self {
        Self {
            current,
            next: None,
            previous: keep.into_iter().collect(),
        }
    }

    /// Whether `authority` is one of them, in whatever role.
    pub fn knows(&self, authority: &CaCertificate) -> bool {
        self.current.certificate() == authority
            || self.next.as_ref().is_some_and(|next| next.certificate() == authority)
            || self.previous.contains(authority)
    }

    /// Whether one more can be trusted.
    pub fn has_room(&self) -> bool {
        self.size() < MOST_TRUSTED
    }

    /// What API servers are to trust at `now`.
    pub fn bundle(&self, now: Timestamp) -> Bundle {
        let signing = std::iter::once(&self.current)
            .chain(&self.next)
            .map(Authority::certificate);
        Bundle::of(signing.chain(&self.previous).cloned()).pruned(now)
    }

    /// With a CA that is to follow. When the bundle would grow too large, the one that was replaced longest ago goes.
    #[must_use]
    pub fn with_next(mut self, next: Authority) -> Self {
        self.next = Some(next);
        self.previous.truncate(MOST_TRUSTED - 2);
        self
    }

    /// The next becomes the current; the current stays trusted. Unchanged when there is no next.
    #[must_use]
    pub fn promoted(mut self) -> Self {
        if let Some(next) = self.next.take() {
            let replaced = std::mem::replace(&mut self.current, next);
            self.previous.insert(0, replaced.certificate().clone());
        }
        self
    }

    /// Another takes the place of the current, which goes, as does a next: the one that cannot sign, the other that followed it.
    /// Those before stay trusted, and so does `keep`.
    #[must_use]
    pub fn replaced(self, current: Authority, keep: Option<CaCertificate>) -> Self {
        let new = Self::new(current, keep);
        self.previous.into_iter().fold(new, Self::remembering)
    }

    /// With `authority` among those that are still trusted.
    #[must_use]
    pub fn remembering(mut self, authority: CaCertificate) -> Self {
        if !self.knows(&authority) && self.has_room() {
            self.previous.push(authority);
        }
        self
    }

    /// With `authority`, which is served from, as the latest of those that are still trusted. When the bundle would grow too
    /// large, the one that was replaced longest ago goes.
    #[must_use]
    pub fn keeping(mut self, authority: CaCertificate) -> Self {
        if !self.knows(&authority) {
            self.previous.insert(0, authority);
            self.previous
                .truncate(MOST_TRUSTED - 1 - usize::from(self.next.is_some()));
        }
        self
    }

    /// Whether a CA other than the current has ended.
    pub fn holds_ended(&self, now: Timestamp) -> bool {
        let others = self.next.as_ref().map(Authority::certificate);
        others
            .into_iter()
            .chain(&self.previous)
            .any(|ca| ca.validity().is_over(now))
    }

    /// Without those, other than the current, that have ended.
    #[must_use]
    pub fn without_ended(mut self, now: Timestamp) -> Self {
        self.next = self.next.filter(|next| !next.certificate().validity().is_over(now));
        self.previous.retain(|ca| !ca.validity().is_over(now));
        self
    }

    fn size(&self) -> usize {
        1 + usize::from(self.next.is_some()) + self.previous.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{after, authority};

    const DAY: i64 = 86_400;

    fn ca(authority: &Authority) -> CaCertificate {
        authority.certificate().clone()
    }

    #[test]
    fn the_next_is_trusted_before_it_signs_and_the_previous_after() {
        let (a, b) = (authority(0), authority(240 * DAY));
        let now = after(240 * DAY);
        let both = Bundle::of([ca(&a), ca(&b)]);
        let before = Succession::new(a.clone(), None).with_next(b.clone());
        assert_eq!(before.bundle(now), both);
        let promoted = before.promoted();
        assert_eq!(promoted.current.certificate(), b.certificate());
        assert!(promoted.next.is_none());
        assert_eq!(promoted.previous, [ca(&a)]);
        assert_eq!(
            promoted.bundle(now),
            both,
            "a promotion changes nothing for API servers"
        );
        assert_eq!(
            promoted.clone().promoted().previous,
            promoted.previous,
            "without a next, nothing happens"
        );
        let ended = after(365 * DAY + 1);
        assert!(promoted.holds_ended(ended) && !promoted.holds_ended(now));
        assert_eq!(promoted.bundle(ended), Bundle::of([ca(&b)]));
        assert_eq!(promoted.without_ended(ended).previous, []);
    }

    #[test]
    fn never_more_than_three() {
        let [a, b, c, d, next] = [0; 5].map(authority);
        let full = Succession::new(a.clone(), Some(ca(&b))).remembering(ca(&c));
        assert!(!full.has_room());
        assert_eq!(full.clone().remembering(ca(&d)).previous, [ca(&b), ca(&c)]);
        let rotating = full.with_next(next);
        assert_eq!(
            rotating.previous,
            [ca(&b)],
            "the one that was replaced longest ago makes room"
        );
        assert_eq!(rotating.promoted().bundle(after(0)).certificates().len(), 3);
    }

    #[test]
    fn what_is_served_is_kept_and_makes_room() {
        let [old, older, current, served, next] = [0; 5].map(authority);
        let full = Succession::new(current, Some(ca(&old))).remembering(ca(&older));
        assert_eq!(full.clone().keeping(ca(&served)).previous, [ca(&served), ca(&old)]);
        assert_eq!(
            full.clone().keeping(ca(&older)).previous,
            full.previous,
            "one that is there"
        );
        assert_eq!(full.with_next(next).keeping(ca(&served)).previous, [ca(&served)]);
    }

    #[test]
    fn one_that_takes_the_place_of_the_current_leaves_trust_as_it_is() {
        let [before, served, future, next, new] = [0; 5].map(authority);
        let mut held = Succession::new(future, Some(ca(&before))).with_next(next);
        held = held.replaced(new.clone(), Some(ca(&served)));
        assert_eq!(held.bundle(after(0)), Bundle::of([ca(&before), ca(&served), ca(&new)]));
        assert!(held.current.certificate() == new.certificate() && held.next.is_none());
        let [newer, later] = [0; 2].map(authority);
        let again = held.replaced(newer, Some(ca(&later)));
        assert_eq!(
            again.previous,
            [ca(&later), ca(&served)],
            "what is served goes before what may be"
        );
    }

    #[test]
    fn one_that_is_known_is_not_remembered_twice() {
        let [a, b, c] = [0; 3].map(authority);
        let held = Succession::new(a.clone(), Some(ca(&b)));
        for known in [&a, &b] {
            assert!(held.knows(known.certificate()));
            assert_eq!(held.clone().remembering(ca(known)).previous, held.previous);
        }
        assert!(!held.knows(c.certificate()));
        assert!(held.with_next(c.clone()).knows(c.certificate()));
    }

    #[test]
    fn a_next_that_has_ended_is_dropped() {
        let held = Succession::new(authority(365 * DAY), None).with_next(authority(0));
        let now = after(365 * DAY + 1);
        assert!(held.holds_ended(now));
        assert!(held.without_ended(now).next.is_none());
    }
}
