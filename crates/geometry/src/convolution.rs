//! A dilated convolution of one picture's maps, product by product: what the kernels must compute.

/// A square kernel whose weights are `dilation` cells apart. Maps keep their size: what lies outside is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DilatedConvolution {
    /// Weights along a side, an odd number.
    pub kernel: usize,
    /// Cells from one weight to the next, at least 1.
    pub dilation: usize,
    /// Maps that come in.
    pub channels: usize,
    /// Maps that go out.
    pub out: usize,
}

impl DilatedConvolution {
    /// The maps `[out, height, width]` of maps `[channels, height, width]` and weights `[out, channels, kernel, kernel]`.
    pub fn apply(&self, maps: &[f64], [height, width]: [usize; 2], weights: &[f64]) -> Vec<f64> {
        let mut output = vec![0.0; self.out * height * width];
        self.for_each_product([height, width], |to, from, weight| output[to] += maps[from] * weights[weight]);
        output
    }

    /// The gradients of the maps and of the weights, where `of_output` is that of the output.
    pub fn gradients(
        &self,
        of_output: &[f64],
        maps: &[f64],
        [height, width]: [usize; 2],
        weights: &[f64],
    ) -> [Vec<f64>; 2] {
        let (mut of_maps, mut of_weights) = (vec![0.0; maps.len()], vec![0.0; weights.len()]);
        self.for_each_product([height, width], |to, from, weight| {
            of_maps[from] += of_output[to] * weights[weight];
            of_weights[weight] += of_output[to] * maps[from];
        });
        [of_maps, of_weights]
    }

    /// Gives each product as the places of its cell of the output, its cell of the maps, and its weight.
    fn for_each_product(&self, [height, width]: [usize; 2], mut give: impl FnMut(usize, usize, usize)) {
        let &Self { kernel, dilation, channels, out } = self;
        // The cell that a weight reads, if it lies in the map.
        let read = |cell: usize, tap: usize, cells: usize| {
            let place = (cell + tap * dilation).checked_sub(kernel / 2 * dilation)?;
            (place < cells).then_some(place)
        };
        for (to, from) in (0..out).flat_map(|to| (0..channels).map(move |from| (to, from))) {
            for (row, column) in (0..height).flat_map(|row| (0..width).map(move |column| (row, column))) {
                for (down, along) in (0..kernel).flat_map(|down| (0..kernel).map(move |along| (down, along)))
                {
                    let Some((y, x)) = read(row, down, height).zip(read(column, along, width)) else {
                        continue;
                    };
                    let weight = ((to * channels + from) * kernel + down) * kernel + along;
                    give((to * height + row) * width + column, (from * height + y) * width + x, weight);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_reads_the_cell_that_lies_its_dilation_away() {
        let convolution = DilatedConvolution { kernel: 3, dilation: 2, channels: 1, out: 1 };
        let maps: Vec<f64> = (1..=12).map(f64::from).collect();
        let mut weights = [0.0; 9];
        // The weight above the centre.
        weights[1] = 1.0;
        let above = convolution.apply(&maps, [4, 3], &weights);
        assert_eq!(above, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn gradients_are_the_slopes_of_the_output() {
        let convolution = DilatedConvolution { kernel: 3, dilation: 2, channels: 2, out: 3 };
        let number = |place: usize| ((place * 37 % 17) as f64 - 8.0) / 8.0;
        let (maps, weights): (Vec<f64>, Vec<f64>) =
            ((0..40).map(number).collect(), (0..54).map(number).collect());
        let of_output: Vec<f64> = (3..63).map(number).collect();
        let sum = |maps: &[f64], weights: &[f64]| {
            let output = convolution.apply(maps, [4, 5], weights);
            output.iter().zip(&of_output).map(|(value, gradient)| value * gradient).sum::<f64>()
        };
        let [of_maps, of_weights] = convolution.gradients(&of_output, &maps, [4, 5], &weights);
        let moved = |values: &[f64], place: usize| {
            let mut values = values.to_vec();
            values[place] += 1.0;
            values
        };
        let start = sum(&maps, &weights);
        for (place, slope) in of_maps.iter().enumerate() {
            assert!((sum(&moved(&maps, place), &weights) - start - slope).abs() < 1e-12);
        }
        for (place, slope) in of_weights.iter().enumerate() {
            assert!((sum(&maps, &moved(&weights, place)) - start - slope).abs() < 1e-12);
        }
    }
}
