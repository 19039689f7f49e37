//! Windows that slide over a picture which is too large to be looked at as a whole.

/// The windows `[y0, x0, y1, x1]`, row by row, that cover a picture of `[height, width]` pixels: `crop` pixels a side, one
/// every `stride` pixels from the top left, the last of each row and column moved back so that it ends with the picture
/// (mmsegmentation's `slide` mode). Where the picture is smaller than `crop`, a window has its whole side. Lengths are at
/// least 1, and windows leave no gap where `stride` is at most `crop`.
pub fn slide_windows([height, width]: [usize; 2], crop: usize, stride: usize) -> Vec<[usize; 4]> {
    let spans = |length: usize| {
        let count = length.saturating_sub(crop).div_ceil(stride) + 1;
        let ends = (0..count).map(move |number| (number * stride + crop).min(length));
        ends.map(move |end| [end.saturating_sub(crop), end])
    };
    spans(height).flat_map(|[y0, y1]| spans(width).map(move |[x0, x1]| [y0, x0, y1, x1])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cityscapes_has_eight_windows() {
        let rows = [[0, 769], [256, 1025]];
        let columns = [[0, 769], [513, 1282], [1026, 1795], [1280, 2049]];
        let expected =
            rows.iter().flat_map(|[y0, y1]| columns.iter().map(move |[x0, x1]| [*y0, *x0, *y1, *x1]));
        assert!(slide_windows([1025, 2049], 769, 513).into_iter().eq(expected));
    }

    #[test]
    fn windows_have_one_size_and_cover_every_pixel() {
        for (height, width, crop, stride) in
            [(73, 97, 49, 33), (10, 10, 10, 3), (10, 11, 10, 10), (5, 40, 9, 4), (1, 1, 3, 1), (30, 7, 7, 7)]
        {
            let windows = slide_windows([height, width], crop, stride);
            let mut seen = vec![false; height * width];
            for &[y0, x0, y1, x1] in &windows {
                assert_eq!([y1 - y0, x1 - x0], [height.min(crop), width.min(crop)]);
                (y0..y1).for_each(|y| seen[y * width + x0..y * width + x1].fill(true));
            }
            assert!(seen.iter().all(|&seen| seen), "{height} x {width}: {windows:?}");
            assert!(windows.is_sorted() && windows.windows(2).all(|pair| pair[0] != pair[1]), "{windows:?}");
        }
    }
}
