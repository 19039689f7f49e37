//! Unions, intersections and overlaps of masks.

use super::{MaskError, RunLengths};

impl RunLengths {
    /// The pixels that lie in any of the masks; `None` if there is no mask.
    ///
    /// # Errors
    /// [`MaskError::Sizes`] when the masks are not of one size.
    pub fn union(masks: impl IntoIterator<Item = RunLengths>) -> Result<Option<Self>, MaskError> {
        Self::merged(masks, |one, other| one || other)
    }

    /// The pixels that lie in all of the masks; `None` if there is no mask.
    ///
    /// # Errors
    /// [`MaskError::Sizes`] when the masks are not of one size.
    pub fn intersection(masks: impl IntoIterator<Item = RunLengths>) -> Result<Option<Self>, MaskError> {
        Self::merged(masks, |one, other| one && other)
    }

    fn merged(
        masks: impl IntoIterator<Item = RunLengths>,
        inside: fn(bool, bool) -> bool,
    ) -> Result<Option<Self>, MaskError> {
        let mut masks = masks.into_iter();
        let Some(first) = masks.next() else { return Ok(None) };
        masks.try_fold(first, |one, other| one.merged_with(&other, inside)).map(Some)
    }

    fn merged_with(&self, other: &Self, inside: fn(bool, bool) -> bool) -> Result<Self, MaskError> {
        self.same_size(other)?;
        let mut places = [self.changes().peekable(), other.changes().peekable()];
        let (mut states, mut state) = ([false; 2], false);
        let mut changes = Vec::new();
        while let Some(place) = places.iter_mut().filter_map(|mask| mask.peek().copied()).min() {
            for (mask, state) in places.iter_mut().zip(&mut states) {
                while mask.next_if_eq(&place).is_some() {
                    *state = !*state;
                }
            }
            if inside(states[0], states[1]) != state {
                state = !state;
                changes.push(place);
            }
        }
        Ok(Self::from_changes(self.size(), changes))
    }

    /// Pixels that lie in both masks.
    ///
    /// # Errors
    /// [`MaskError::Sizes`] when the masks are not of one size.
    pub fn common_area(&self, other: &Self) -> Result<u32, MaskError> {
        self.same_size(other)?;
        let (mut ones, mut others) = (self.inside(), other.inside());
        let (mut one, mut other) = (ones.next(), others.next());
        let mut area = 0;
        while let (Some(a), Some(b)) = (&one, &other) {
            area += a.end.min(b.end).saturating_sub(a.start.max(b.start));
            if a.end < b.end { one = ones.next() } else { other = others.next() }
        }
        Ok(area)
    }

    /// Intersection over union of a detected mask with a true one, `0..=1`; 0 for two empty masks. With a `crowd`, which
    /// has no single objects to be found, it is the share of the detected mask that lies in the crowd.
    ///
    /// # Errors
    /// [`MaskError::Sizes`] when the masks are not of one size.
    pub fn iou(&self, truth: &Self, crowd: bool) -> Result<f64, MaskError> {
        let common = self.common_area(truth)?;
        let union = if crowd { self.area() } else { self.area() + (truth.area() - common) };
        Ok(if common == 0 { 0.0 } else { f64::from(common) / f64::from(union) })
    }

    fn same_size(&self, other: &Self) -> Result<(), MaskError> {
        let (one, other) = (self.size(), other.size());
        if one == other { Ok(()) } else { Err(MaskError::Sizes { one, other }) }
    }
}
