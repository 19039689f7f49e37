//! A graph of ONNX operators over the tensors of a model; the tensors' names also name the nodes.

use std::collections::HashMap;

use prost::Message;

use super::proto;
use crate::{DType, Tensor};

/// The first version whose `Resize` takes the sizes of only two axes; onnxruntime has it since 1.14.
const OPERATORS: i64 = 18;
/// The version of the file format for those operators.
const IR_VERSION: i64 = 8;
const FLOAT: i32 = 1;
/// The name of the pictures: `[batch, 3, height, width]`, RGB, normalised.
const INPUT: &str = "images";

/// A model's tensor that the network needs is missing, or is not `f32`.
#[derive(Debug, thiserror::Error)]
#[error("the checkpoint has no f32 tensor {0}, which this network needs")]
pub struct NoTensor(String);

/// A map `[batch, channels, ., .]` that a node makes, or the input of the graph.
#[derive(Clone)]
pub(super) struct Map {
    name: String,
    channels: i64,
}

/// A graph that is being built.
pub(super) struct Graph<'t> {
    tensors: HashMap<&'t str, &'t Tensor>,
    nodes: Vec<proto::Node>,
    initializers: Vec<proto::Initializer>,
}

impl<'t> Graph<'t> {
    pub(super) fn over(tensors: &'t [Tensor]) -> Self {
        let tensors = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        Self { tensors, nodes: Vec::new(), initializers: Vec::new() }
    }

    /// Whether the model has a tensor of this name.
    pub(super) fn has(&self, tensor: &str) -> bool {
        self.tensors.contains_key(tensor)
    }

    /// The pictures: `[batch, 3, height, width]`.
    pub(super) fn input(&self) -> Map {
        Map { name: INPUT.to_owned(), channels: 3 }
    }

    /// The convolution `name`, padded by half its kernel, with its bias if it has one.
    pub(super) fn convolution(&mut self, x: &Map, name: &str, stride: i64) -> Result<Map, NoTensor> {
        let (weight, shape) = self.tensor(&format!("{name}.weight"))?;
        let &[channels, _, height, width] = shape else { return Err(NoTensor(weight)) };
        let mut inputs = vec![x.name.clone(), weight];
        if self.has(&format!("{name}.bias")) {
            inputs.push(self.tensor(&format!("{name}.bias"))?.0);
        }
        let pads = ints("pads", &[height / 2, width / 2, height / 2, width / 2]);
        let name = self.node("Conv", name, inputs, vec![ints("strides", &[stride, stride]), pads]);
        Ok(Map { name, channels })
    }

    /// The batch norm `name` with its running statistics, with or without weight and bias.
    pub(super) fn norm(&mut self, x: &Map, name: &str) -> Result<Map, NoTensor> {
        let mut inputs = vec![x.name.clone()];
        for (field, plain) in [("weight", 1.0_f32), ("bias", 0.0)] {
            let tensor = format!("{name}.{field}");
            if self.has(&tensor) {
                inputs.push(self.tensor(&tensor)?.0);
            } else {
                let bytes = plain.to_le_bytes().repeat(x.channels as usize);
                inputs.push(self.initialize(&tensor, &[x.channels], bytes));
            }
        }
        inputs.push(self.tensor(&format!("{name}.running_mean"))?.0);
        inputs.push(self.tensor(&format!("{name}.running_var"))?.0);
        let epsilon = proto::Attribute { name: "epsilon".into(), f: 1e-5, kind: 1, ..Default::default() };
        Ok(self.after(x, "BatchNormalization", name, inputs, vec![epsilon]))
    }

    pub(super) fn relu(&mut self, x: &Map) -> Map {
        self.after(x, "Relu", &format!("{}.relu", x.name), vec![x.name.clone()], vec![])
    }

    /// `x` with the length 1 at each position.
    pub(super) fn unit(&mut self, x: &Map) -> Map {
        let over_channels = vec![int("axis", 1), int("p", 2)];
        self.after(x, "LpNormalization", &format!("{}.unit", x.name), vec![x.name.clone()], over_channels)
    }

    pub(super) fn add(&mut self, x: &Map, y: &Map) -> Map {
        self.after(x, "Add", &format!("{}.add", x.name), vec![x.name.clone(), y.name.clone()], vec![])
    }

    /// The largest of 3 x 3, at stride 2.
    pub(super) fn max_pool(&mut self, x: &Map) -> Map {
        let window = vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), ints("pads", &[1; 4])];
        self.after(x, "MaxPool", &format!("{}.pool", x.name), vec![x.name.clone()], window)
    }

    /// `x` resized bilinearly to the height and width of `like`, corners not aligned.
    pub(super) fn resize_like(&mut self, x: &Map, like: &Map) -> Map {
        let bounds = vec![int("start", 2), int("end", 4)];
        let size = self.node("Shape", &format!("{}.size", x.name), vec![like.name.clone()], bounds);
        let how = vec![
            text("mode", "linear"),
            text("coordinate_transformation_mode", "half_pixel"),
            ints("axes", &[2, 3]),
        ];
        // Neither a region nor scales are given.
        let inputs = vec![x.name.clone(), String::new(), String::new(), size];
        self.after(x, "Resize", &format!("{}.resized", x.name), inputs, how)
    }

    /// The finished file. Each of `outputs` has a name, and names of its height and width, which are known only when
    /// the model is run.
    pub(super) fn into_file(
        mut self,
        outputs: &[(&str, Map, [&str; 2])],
        metadata: &[(String, String)],
    ) -> Vec<u8> {
        let mut output = Vec::new();
        for (name, map, size) in outputs {
            self.node("Identity", name, vec![map.name.clone()], vec![]);
            output.push(value(name, map.channels, *size));
        }
        let graph = proto::Graph {
            node: self.nodes,
            name: "densesiam".into(),
            initializer: self.initializers,
            input: vec![value(INPUT, 3, ["height", "width"])],
            output,
        };
        let entry = |(key, value): &(String, String)| proto::Entry { key: key.clone(), value: value.clone() };
        let model = proto::Model {
            ir_version: IR_VERSION,
            producer_name: "densesiam".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(graph),
            opset_import: vec![proto::OperatorSet { domain: String::new(), version: OPERATORS }],
            metadata_props: metadata.iter().map(entry).collect(),
        };
        model.encode_to_vec()
    }

    /// Adds a tensor of the model to the graph; returns its name and its shape.
    fn tensor(&mut self, name: &str) -> Result<(String, &'t [i64]), NoTensor> {
        let tensor = self.tensors.get(name).copied().filter(|tensor| tensor.dtype == DType::F32);
        let tensor = tensor.ok_or_else(|| NoTensor(name.to_owned()))?;
        Ok((self.initialize(name, &tensor.shape, tensor.bytes.clone()), &tensor.shape))
    }

    fn initialize(&mut self, name: &str, shape: &[i64], raw_data: Vec<u8>) -> String {
        let (dims, initializer) = (shape.to_vec(), name.to_owned());
        self.initializers.push(proto::Initializer { dims, data_type: FLOAT, name: initializer, raw_data });
        name.to_owned()
    }

    /// A node whose output has the channels of `x`.
    fn after(
        &mut self,
        x: &Map,
        operator: &str,
        name: &str,
        inputs: Vec<String>,
        how: Vec<proto::Attribute>,
    ) -> Map {
        Map { name: self.node(operator, name, inputs, how), channels: x.channels }
    }

    /// Adds a node, which has the same name as its output.
    fn node(
        &mut self,
        operator: &str,
        name: &str,
        input: Vec<String>,
        attribute: Vec<proto::Attribute>,
    ) -> String {
        let (output, op_type) = (vec![name.to_owned()], operator.to_owned());
        self.nodes.push(proto::Node { input, output, name: name.to_owned(), op_type, attribute });
        name.to_owned()
    }
}

/// `[batch, channels, height, width]` of `f32`, of which only the channels are known.
fn value(name: &str, channels: i64, [height, width]: [&str; 2]) -> proto::Value {
    let named = |name: &str| proto::Size::Named(name.to_owned());
    let sizes = [named("batch"), proto::Size::Known(channels), named(height), named(width)];
    let shape = proto::Shape { dim: sizes.map(|size| proto::Dimension { size: Some(size) }).into() };
    let tensor = proto::TensorType { element: FLOAT, shape: Some(shape) };
    proto::Value { name: name.to_owned(), kind: Some(proto::ValueType { tensor: Some(tensor) }) }
}

fn int(name: &str, i: i64) -> proto::Attribute {
    proto::Attribute { name: name.into(), i, kind: 2, ..Default::default() }
}

fn ints(name: &str, ints: &[i64]) -> proto::Attribute {
    proto::Attribute { name: name.into(), ints: ints.to_vec(), kind: 7, ..Default::default() }
}

fn text(name: &str, text: &str) -> proto::Attribute {
    proto::Attribute { name: name.into(), s: text.into(), kind: 3, ..Default::default() }
}
