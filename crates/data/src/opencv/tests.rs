//! Against OpenCV 4.11: checksums of what it makes of made-up pictures, and of every colour.

use super::hsv::{change, hsv_of, rgb_of};
use super::{Window, WindowResizer, fitted};
use crate::image::RgbImage;
use crate::labelled::LabelMap;

fn noise(count: usize) -> Vec<u8> {
    (0..count as u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage { width, height, pixels: noise(width as usize * height as usize * 3) }
}

fn label_map(width: u32, height: u32) -> LabelMap {
    LabelMap { width, height, classes: noise(width as usize * height as usize) }
}

fn pixels_of(image: &RgbImage, window: &Window) -> Vec<u8> {
    let row = window.size[0] as usize * 3;
    let mut pixels = vec![0; row * window.size[1] as usize];
    WindowResizer::default().resize(image, window, pixels.chunks_exact_mut(row));
    pixels
}

fn labels_of(labels: &LabelMap, window: &Window) -> Vec<u8> {
    let mut classes = vec![0; window.size[0] as usize * window.size[1] as usize];
    window.labels_into(labels, classes.chunks_exact_mut(window.size[0] as usize));
    classes
}

#[test]
fn pictures_and_labels_are_scaled_as_opencv_does() {
    for ([width, height], scaled, pixels, labels) in [
        ([97, 61], [40, 23], 0x4ab83628f9090dc3, 0xe676af201ab4f6d0),
        ([97, 61], [48, 30], 0xdabf444d4af379fb, 0xef0330b058a6222a),
        ([50, 40], [25, 20], 0x72c049f049138cd2, 0x53d97229f50f3516),
        ([33, 70], [101, 140], 0x7e2f474ace1621c7, 0xa822f7caf7cc45df),
        ([64, 48], [64, 48], 0xf3abe20900bc18ed, 0x43f503d91e922c74),
        ([7, 5], [29, 1], 0xfbc3744930d95caa, 0xf0e3b4bcc5f50947),
        ([1, 9], [6, 4], 0x2fdd61bbe8e92147, 0x34e150dd5518a66b),
        ([64, 3], [47, 9], 0xe53ae7a1a6e3222b, 0xedf64bd0d3d6d260),
        ([123, 77], [199, 200], 0x103e2570c29c4edf, 0x3eb15dc4a965008d),
    ] {
        let window = Window::whole(scaled);
        let found = densesiam_random::hash(&pixels_of(&picture(width, height), &window));
        assert_eq!(found, pixels, "pixels, {width} x {height} to {scaled:?}");
        let found = densesiam_random::hash(&labels_of(&label_map(width, height), &window));
        assert_eq!(found, labels, "labels, {width} x {height} to {scaled:?}");
    }
}

#[test]
fn a_window_is_the_crop_of_the_scaled_picture_and_may_be_mirrored() {
    let (image, labels) = (picture(53, 37), label_map(53, 37));
    for scaled in [[53, 37], [26, 18], [80, 91], [106, 74]] {
        let whole = Window::whole(scaled);
        let (pixels, classes) = (pixels_of(&image, &whole), labels_of(&labels, &whole));
        for (origin, flip) in [([0, 0], true), ([5, 3], false), ([5, 3], true), ([scaled[0] - 20, 0], true)] {
            let window = Window { scaled, origin, size: [20, 15], flip };
            let (found_pixels, found_classes) = (pixels_of(&image, &window), labels_of(&labels, &window));
            for (x, y) in (0..15).flat_map(|y| (0..20).map(move |x| (x, y))) {
                let column = if flip { 19 - x } else { x } + origin[0] as usize;
                let place = (y + origin[1] as usize) * scaled[0] as usize + column;
                assert_eq!(found_pixels[(y * 20 + x) * 3..][..3], pixels[place * 3..][..3], "{window:?}");
                assert_eq!(found_classes[y * 20 + x], classes[place], "{window:?}");
            }
        }
        let mut counts = [0; 255];
        classes.iter().filter(|&&class| class < 255).for_each(|&class| counts[usize::from(class)] += 1);
        assert_eq!(whole.class_counts(&labels), counts);
    }
}

/// A sum that hangs on every byte and its place.
fn checksum(bytes: impl Iterator<Item = i32>) -> u64 {
    let weighted = (1u64..).zip(bytes).map(|(place, byte)| place.wrapping_mul(byte as u64 + 1));
    weighted.fold(0, u64::wrapping_add)
}

#[test]
fn every_colour_goes_to_hsv_and_back_as_in_opencv() {
    let all =
        |last: i32| (0..256).flat_map(move |a| (0..256).flat_map(move |b| (0..last).map(move |c| [a, b, c])));
    assert_eq!(checksum(all(256).flat_map(hsv_of)), 0x02ac_6e97_63f1_0e06);
    assert_eq!(checksum(all(180).flat_map(|[s, v, h]| rgb_of([h, s, v]))), 0x00be_c5b8_1b7d_7c85);
}

#[test]
fn vectors_and_single_pixels_agree_to_the_bit() {
    let mut together = noise(3 * 1999);
    let mut alone = together.clone();
    change(&mut together, 1.37, 171);
    alone.chunks_exact_mut(3).for_each(|pixel| change(pixel, 1.37, 171));
    assert_eq!(together, alone);
}

#[test]
fn the_grey_of_a_pixel_stays_and_a_third_of_a_turn_moves_the_channels() {
    let mut pixels = [90, 90, 90, 255, 0, 0, 0, 255, 0, 0, 0, 255];
    change(&mut pixels, 1.5, 60);
    assert_eq!(pixels, [90, 90, 90, 0, 255, 0, 0, 0, 255, 255, 0, 0]);
}

#[test]
fn sizes_fit_into_the_scale_for_pictures_of_any_shape() {
    // Cityscapes' pictures at the ratios 1, 0.5 and 2.
    let cityscapes = |ratio| fitted([2048, 1024], [2049, 1025], ratio);
    assert_eq!([1.0, 0.5, 2.0].map(cityscapes), [[2049, 1025], [1024, 512], [4098, 2049]]);
    assert_eq!(fitted([1024, 2048], [2049, 1025], 1.0), [1025, 2049]);
    assert_eq!((fitted([480, 360], [0, 0], 1.0), fitted([480, 361], [0, 0], 0.5)), ([480, 360], [239, 180]));
    assert_eq!(fitted([10_000, 1], [100, 100], 1.0), [100, 1]);
}
