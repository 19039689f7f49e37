//! Decides which pictures go through the model together: all pictures of a batch must have the same size.

use std::collections::BTreeMap;
use std::path::PathBuf;

use densesiam_data::reader::ReadPicture;

/// A picture that waits for others of its size.
pub(super) struct Waiting {
    /// The common part of the names of its files.
    pub(super) stem: PathBuf,
    /// The picture.
    pub(super) picture: ReadPicture,
}

/// Pictures by the size at which the model sees them. Batches depend only on the order and the sizes of the pictures,
/// so that a second prediction of the same pictures has the same batches.
pub(super) struct Batches {
    /// Pixels that the model may see at once.
    pixels: usize,
    /// Bytes that may wait.
    room: usize,
    waiting: BTreeMap<[u32; 2], Vec<Waiting>>,
    held: usize,
}

impl Batches {
    /// Batches have at most `pixels` pixels, or a single picture that has more. Once `room` bytes are waiting, batches
    /// are returned before they are full.
    pub(super) fn new(pixels: usize, room: usize) -> Self {
        Self { pixels, room, waiting: BTreeMap::new(), held: 0 }
    }

    /// Adds a picture, and returns a batch that should wait no longer: the picture's own batch if it is full or, if too
    /// many bytes are waiting, the batch that holds most.
    pub(super) fn add(&mut self, waiting: Waiting) -> Option<Vec<Waiting>> {
        let size = [waiting.picture.seen.width, waiting.picture.seen.height];
        self.held += waiting.picture.bytes();
        let batch = self.waiting.entry(size).or_default();
        batch.push(waiting);
        let pixels = size[0] as usize * size[1] as usize;
        if (batch.len() + 1) * pixels > self.pixels {
            return self.take(size);
        }
        if self.held < self.room {
            return None;
        }
        let largest = self.waiting.iter().max_by_key(|(_, batch)| bytes(batch)).map(|(&size, _)| size);
        self.take(largest?)
    }

    /// The batches that are still not full at the end, one for each call.
    pub(super) fn rest(&mut self) -> Option<Vec<Waiting>> {
        let size = *self.waiting.keys().next()?;
        self.take(size)
    }

    fn take(&mut self, size: [u32; 2]) -> Option<Vec<Waiting>> {
        let batch = self.waiting.remove(&size)?;
        self.held -= bytes(&batch);
        Some(batch)
    }
}

fn bytes(batch: &[Waiting]) -> usize {
    batch.iter().map(|waiting| waiting.picture.bytes()).sum()
}

#[cfg(test)]
mod tests {
    use densesiam_data::image::RgbImage;

    use super::*;

    /// A picture that is seen at `width x 10` and was decoded at `decoded` times the pixels.
    fn waiting(name: usize, width: u32, decoded: u32) -> Waiting {
        let seen = RgbImage::new(width, 10);
        let picture =
            ReadPicture { size: [width, 10], decoded: Some(RgbImage::new(width, 10 * decoded)), seen };
        Waiting { stem: name.to_string().into(), picture }
    }

    /// The batches, as names, of pictures with these numbers of columns.
    fn batches(pixels: usize, room: usize, widths: &[u32]) -> Vec<String> {
        let mut batches = Batches::new(pixels, room);
        let mut made = Vec::new();
        for (name, &width) in widths.iter().enumerate() {
            made.extend(batches.add(waiting(name, width, 1)));
            assert!(batches.held < room.max(1), "{} bytes wait", batches.held);
        }
        made.extend(std::iter::from_fn(|| batches.rest()));
        assert_eq!((batches.held, batches.waiting.len()), (0, 0));
        let names = |batch: &Vec<Waiting>| batch.iter().map(|one| one.stem.display().to_string()).collect();
        made.iter()
            .map(|batch| {
                let names: Vec<String> = names(batch);
                names.join(" ")
            })
            .collect()
    }

    #[test]
    fn pictures_of_one_size_share_a_batch_in_their_order() {
        assert_eq!(batches(200, usize::MAX, &[10, 10, 10]), ["0 1", "2"]);
        assert_eq!(batches(200, usize::MAX, &[10, 5, 10, 5, 5, 5, 5]), ["0 2", "1 3 4 5", "6"]);
        assert_eq!(batches(200, usize::MAX, &[19, 21, 10, 19]), ["0", "1", "3", "2"]);
    }

    #[test]
    fn where_too_much_waits_the_largest_batch_goes_first() {
        // A picture of 10 columns has 600 bytes, decoded and seen.
        assert_eq!(batches(1000, 1500, &[10, 9, 10, 9]), ["0 2", "1 3"]);
        assert_eq!(batches(1000, 0, &[10, 10]), ["0", "1"]);
        let mut batches = Batches::new(1000, 2000);
        assert!(batches.add(waiting(0, 10, 1)).is_none());
        let large = batches.add(waiting(1, 9, 9)).unwrap();
        assert_eq!((large.len(), batches.held), (1, 600));
    }
}
