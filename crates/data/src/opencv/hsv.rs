//! OpenCV's 8-bit hue, saturation and value: hue in steps of two degrees (0 to 179), the others 0 to 255.
//!
//! Towards HSV it computes in integers. Back from it, its vector loop cuts levels off where the few pixels that remain of a
//! row are rounded, so that a pixel's colour hangs on its place; here all are cut off.

use multiversion::multiversion;

/// Steps of the hue in a whole turn.
pub(crate) const TURN: i32 = 180;

/// Pixels that are computed at a time: three planes take 6 kB.
const STRIP: usize = 512;

/// Multiplies the saturation of interleaved RGB pixels and turns their hue, by 0 to 179 steps. Both are whole numbers
/// before and after, and colours that change neither still lose a little.
pub(crate) fn change(pixels: &mut [u8], saturation: f32, hue: i32) {
    let mut planes = [[0; STRIP]; 3];
    for strip in pixels.chunks_mut(STRIP * 3) {
        let [red, green, blue] = planes.each_mut().map(|plane| &mut plane[..strip.len() / 3]);
        change_strip(strip, red, green, blue, saturation, hue);
    }
}

#[multiversion(targets = "simd")]
fn change_strip(
    pixels: &mut [u8],
    red: &mut [i32],
    green: &mut [i32],
    blue: &mut [i32],
    saturation: f32,
    hue: i32,
) {
    for (pixel, ((red, green), blue)) in
        pixels.chunks_exact(3).zip(red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()))
    {
        [*red, *green, *blue] = [pixel[0].into(), pixel[1].into(), pixel[2].into()];
    }
    for ((red, green), blue) in red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()) {
        let [h, s, v] = hsv_of([*red, *green, *blue]);
        let turned = h + hue;
        let h = if turned >= TURN { turned - TURN } else { turned };
        [*red, *green, *blue] = rgb_of([h, level(s as f32 * saturation), v]);
    }
    for (pixel, ((red, green), blue)) in
        pixels.chunks_exact_mut(3).zip(red.iter().zip(green.iter()).zip(blue.iter()))
    {
        pixel[0] = *red as u8;
        pixel[1] = *green as u8;
        pixel[2] = *blue as u8;
    }
}

/// Hue, saturation and value of a colour, each a whole number.
#[inline(always)]
pub(super) fn hsv_of([red, green, blue]: [i32; 3]) -> [i32; 3] {
    let value = red.max(green).max(blue);
    let chroma = value - red.min(green).min(blue);
    let saturation = (chroma * quotient(255.0 * 4096.0, value) + 2048) >> 12;
    let beyond_red = if value == green { blue - red + 2 * chroma } else { red - green + 4 * chroma };
    let sixths = if value == red { green - blue } else { beyond_red };
    let hue = (sixths * quotient(30.0 * 4096.0, chroma) + 2048) >> 12;
    [if hue < 0 { hue + TURN } else { hue }, saturation, value]
}

/// The colour of a hue, saturation and value.
#[inline(always)]
pub(super) fn rgb_of([hue, saturation, value]: [i32; 3]) -> [i32; 3] {
    let sixths = hue as f32 * (6.0 / TURN as f32);
    let sector = sixths.floor();
    let share = sixths - sector;
    let (saturation, value) = (saturation as f32 * (1.0 / 255.0), value as f32 * (1.0 / 255.0));
    let lowest = level(value * (1.0 - saturation) * 255.0);
    let falling = level(value * (-saturation).mul_add(share, 1.0) * 255.0);
    let rising = level(value * (-saturation).mul_add(1.0 - share, 1.0) * 255.0);
    let value = level(value * 255.0);
    // Chosen among whole numbers and without `||` or arrays, because the loop over pixels is then made of vectors. A channel
    // is the highest in two sectors of six in a row; before them it rises, after them it falls.
    let sector = level(sector);
    let channel = |rises: i32, first: i32, second: i32, falls: i32| {
        let moving = if sector == rises { rising } else { lowest };
        let below = if sector == falls { falling } else { moving };
        let in_first = if sector == first { value } else { below };
        if sector == second { value } else { in_first }
    };
    [channel(4, 5, 0, 1), channel(0, 1, 2, 3), channel(2, 3, 4, 5)]
}

/// `dividend / divisor` (within 2^20) as the nearest integer, by the bits of its sum with 2^23; 0 if the divisor is 0.
#[inline(always)]
fn quotient(dividend: f32, divisor: i32) -> i32 {
    let quotient = if divisor > 0 { dividend / divisor as f32 } else { 0.0 };
    ((quotient + 8_388_608.0).to_bits() & 0x7f_ffff) as i32
}

/// A number from 0 as a level: cut off, 255 at most.
#[inline(always)]
fn level(number: f32) -> i32 {
    let below = if number < 255.0 { number } else { 255.0 };
    ((below.floor() + 8_388_608.0).to_bits() & 0xff) as i32
}
