//! The command line: the names of commands, their arguments, and the help that explains both.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, CommandFactory, Parser, Subcommand};
use densesiam::error::Error;
use densesiam::export::Format;
use densesiam::home::expand;
use densesiam_engine::run_dir::Start;

use super::processes::ProcessArguments;
use super::{ablate, bench, data, embed, explore, keys};
use crate::answer::answer;

/// Dense self-supervised learning from a folder of pictures (DenseSiam, ECCV 2022).
#[derive(Debug, Parser)]
#[command(name = "densesiam", version, about, max_term_width = 110)]
pub(crate) struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Pre-train an encoder on a folder of pictures without labels
    ///
    /// RECIPE is a TOML file, the name of a recipe that the program carries (see `densesiam recipes`), or simply a
    /// folder of pictures or tar shards; then size, batch and duration are chosen from the pictures and the machine.
    Pretrain(TrainArguments),
    /// Train a segmentation without labels, and evaluate it on labelled pictures where there are any
    ///
    /// RECIPE is a TOML file, the name of a recipe that the program carries, or a run directory.
    Segment(TrainArguments),
    /// Train an encoder further with labels, and score what it is worth for segmentation or detection
    ///
    /// RECIPE is a TOML file, the name of a recipe that the program carries (see `densesiam recipes`), or a run directory.
    /// encoder.weights says what is transferred: a run, a file of weights, or `random` for a baseline without pre-training.
    Transfer(TrainArguments),
    /// Train the variants of a recipe over several seeds, and print a table of their scores
    ///
    /// LIST names the variants; the paper's ablations are carried by the program (see `densesiam recipes`). Runs lie in
    /// run.dir/LIST/VARIANT_sSEED; the same command goes on where an earlier one stopped.
    Ablate(ablate::AblateArguments),
    /// Score a trained segmentation or detector on pictures with labels, or anybody's detections
    ///
    /// The pictures are those of labels.val or objects.val below data.root, as in the run's recipe unless settings name others.
    /// A segmentation is scored under the optimal one-to-one assignment of pseudo-categories to classes, which is the
    /// published protocol, and many-to-one, where each pseudo-category stands for the class that most of its pixels have.
    /// With --detections and --ground-truth, files of objects are compared by COCO's rules, or a folder of results with
    /// PASCAL VOC's annotations by those of VOC.
    Evaluate(EvaluateArguments),
    /// Train one linear layer on the frozen features of encoders, and compare how well it segments
    ///
    /// An encoder is `random` (weights drawn from the seed), a run directory or one of its checkpoints, or a file of
    /// weights under torchvision's names (with encoder.architecture=resnet18). Encoders of one NAME=, or given without
    /// a name more than once, are summed up together. What has a dot before its `=` is a setting: data.root=DIR is
    /// one, densesiam=runs/a is an encoder.
    ///
    /// Example: densesiam probe random simsiam=runs/s1 simsiam=runs/s2 ours=runs/d1 data.root=CAMVID --seeds 3
    Probe {
        /// Encoders as [NAME=]ENCODER, and settings as key=value (data.root=CAMVID probe.features=c4); `densesiam keys` explains them
        #[arg(required = true, value_name = "ENCODERS")]
        arguments: Vec<String>,
        /// How many seeds, from run.seed on; each is another layer, and another random encoder
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
        seeds: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Classify pictures by their nearest neighbours in the features of encoders, and compare the accuracies
    ///
    /// The kind of a picture is the folder in which it lies; nothing is trained. Encoders and settings are given as for
    /// `densesiam probe`.
    ///
    /// Example: densesiam knn random ours=runs/d1 data.root=CALTECH
    Knn {
        /// Encoders as [NAME=]ENCODER, and settings as key=value (data.root=DIR knn.features=c4); `densesiam keys` explains them
        #[arg(required = true, value_name = "ENCODERS")]
        arguments: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the features of pictures, or of their patches, to a file for other programs
    ///
    /// Each picture is seen whole, its shorter side at embed.size. Rows are in the order of the pictures' names, in shards of the shards
    /// and their members; a picture that cannot be read has none. A .safetensors file has the pictures' names in its header; beside X.npy, X.rows.csv says what each row is of.
    ///
    /// Example: densesiam embed MY_PICTURES --encoder runs/mine --out features.npy
    Embed(embed::EmbedArguments),
    /// Look at what encoders see: a page in the browser, where a click on a part of a picture shows where else the same is found
    ///
    /// The page is served to this machine alone, until Ctrl-C. The features of all pictures are computed first, and kept for the next
    /// time.
    ///
    /// Example: densesiam explore runs/mine MY_PICTURES --beside random --beside other=resnet18.pth
    Explore(explore::ExploreArguments),
    /// Write label maps and overlays of pictures of any size, or the boxes of the objects in them
    ///
    /// A detector writes OUT/NAME.boxes.png, and all boxes with their scores as OUT/results.json. A segmentation writes label maps.
    /// For each picture NAME.png, an indexed PNG whose values are classes and whose palette has the colours of
    /// NAME.overlay.png. Pseudo-categories matched to no class have values above the classes: the number of classes
    /// plus their own. OUT/legend.json says what each value means.
    Predict(PredictArguments),
    /// Draw both views of a picture with their corresponding points, to check them by eye
    Views(ViewsArguments),
    /// Write what was trained in the files that other tools read
    ///
    /// What must be set there so that the weights are not silently left out is printed.
    Export {
        /// A run directory, or a checkpoint's folder (runs/NAME/checkpoints/000001000)
        checkpoint: PathBuf,
        /// For whom it is written
        #[arg(long, value_parser = format(), default_value = "safetensors")]
        format: Format,
        /// The file to write, for timm the folder; else encoder.safetensors, encoder.pth and so on
        #[arg(long, value_parser = path())]
        out: Option<PathBuf>,
        /// Replace the file if it is there
        #[arg(long)]
        overwrite: bool,
    },
    /// Say what a weights file, a checkpoint or a run is, and whether an encoder can start from it
    ///
    /// Reads safetensors, PyTorch's .pth and NumPy pickles without running anything in them.
    Inspect {
        /// A weights file, a checkpoint's folder or a run directory
        path: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write one page of several runs: where their recipes differ, their newest numbers, and their curves
    ///
    /// Each run has a page of its own, RUN/report.html, which a training brings up to date.
    Report {
        /// Run directories, finished or not
        #[arg(required = true)]
        runs: Vec<PathBuf>,
        /// The file to write
        #[arg(long, default_value = "comparison.html")]
        out: PathBuf,
        /// Replace the file if it is there
        #[arg(long)]
        overwrite: bool,
    },
    /// Print the completions of a shell: densesiam completions bash > ~/.bash_completion.d/densesiam
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual's pages, one for the program and one for each command
    Man {
        /// The folder to write to
        out: PathBuf,
    },
    /// Pre-train on made-up pictures and segment them, in minutes
    ///
    /// Settings whose keys begin with `run.` or `train.` hold for both halves.
    Demo {
        /// Settings laid over the recipe, as key=value; `densesiam keys` explains them
        settings: Vec<String>,
    },
    /// Pack pictures into tar shards, or check a whole data set
    #[command(subcommand)]
    Data(data::Data),
    /// List the recipes that the program carries, or print one
    Recipes {
        /// The recipe to print
        name: Option<String>,
    },
    /// Print what can be set, as key=value or in a recipe: default, what is allowed, and meaning
    ///
    /// Into a pipe a key is a line, with tabs between key, default, what is allowed, tasks and meaning.
    ///
    /// Example: densesiam keys pretrain grid
    Keys {
        /// pretrain, segment, fcn, detector, transfer (the last two), probe, knn or embed; all of them where it is left out
        task: Option<String>,
        /// A part of the key or of its meaning (grid, "learning rate"), or what other programs call it (lr)
        pattern: Option<String>,
    },
    /// Measure the training step or the loader on this machine
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Say whether this machine and these pictures are fit for training
    Doctor {
        /// A folder of pictures or tar shards to look at
        pictures: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        /// Whether several processes meet, and how fast they sum
        #[command(flatten)]
        processes: ProcessArguments,
    },
}

/// `densesiam pretrain`, `densesiam segment` and `densesiam transfer`
#[derive(Debug, Args)]
pub(crate) struct TrainArguments {
    /// A recipe, a run directory or, for pre-training, a folder of pictures
    pub recipe: String,
    /// Settings laid over the recipe, as key=value (train.batch_size=64 pixsim.grid=9); `densesiam keys` explains them
    pub settings: Vec<String>,
    /// Continue the run exactly where its last checkpoint left it
    #[arg(long, conflicts_with = "overwrite")]
    pub resume: bool,
    /// Replace a run of this name
    #[arg(long)]
    pub overwrite: bool,
    /// Print the resolved recipe and what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Several processes that train together
    #[command(flatten)]
    pub processes: ProcessArguments,
}

/// `densesiam evaluate`
#[derive(Debug, Args)]
pub(crate) struct EvaluateArguments {
    /// A run directory, or a checkpoint's folder
    #[arg(required_unless_present = "detections")]
    pub checkpoint: Option<PathBuf>,
    /// Settings laid over the run's recipe, as key=value (data.root=DIR labels.val=test objects.val=test); `densesiam keys` explains them
    pub settings: Vec<String>,
    /// Detections to score in place of a run: COCO's list of results, or a folder of VOC's files `comp4_det_test_CLASS.txt`
    #[arg(long, requires = "ground_truth", conflicts_with = "checkpoint", value_parser = path())]
    pub detections: Option<PathBuf>,
    /// What is there: COCO's annotations, or a folder in VOC's format
    #[arg(long, requires = "detections", value_parser = path())]
    pub ground_truth: Option<PathBuf>,
    /// Compare masks in place of boxes, by COCO's rules; VOC's format has none
    #[arg(long, requires = "detections")]
    pub masks: bool,
    /// The split of a folder in VOC's format, 2007/test; test if it is left out
    #[arg(long, requires = "detections")]
    pub split: Option<String>,
    /// The classes of a folder in VOC's format, with commas, in place of VOC's 20 or those that the annotations name
    #[arg(long, requires = "detections", value_name = "NAMES", value_delimiter = ',')]
    pub classes: Vec<String>,
    /// VOC's rule: 2007 (eleven points), if it is left out, or 2012 (area)
    #[arg(long, requires = "detections", value_parser = ["2007", "2012"])]
    pub rule: Option<String>,
    /// Score VOC's boxes without the rounding that published figures have
    #[arg(long, requires = "detections")]
    pub exact: bool,
    /// A folder to write a detector's detections to, as results.json with the ids of COCO's annotations, or as VOC's files
    #[arg(long, conflicts_with = "detections", value_parser = path())]
    pub out: Option<PathBuf>,
    /// Replace detections that are there
    #[arg(long, requires = "out")]
    pub overwrite: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `densesiam predict`
#[derive(Debug, Args)]
pub(crate) struct PredictArguments {
    /// A run directory, or a checkpoint's folder
    pub checkpoint: PathBuf,
    /// A picture, a folder of pictures, a list file, or tar shards, whose label maps become OUT/SHARD/NAME.png
    pub pictures: PathBuf,
    /// Settings laid over the run's recipe, as key=value (evaluate.size=480); `densesiam keys` explains them
    pub settings: Vec<String>,
    /// The folder to write to
    #[arg(long, value_parser = path())]
    pub out: PathBuf,
    /// Write label maps alone
    #[arg(long)]
    pub no_overlays: bool,
    /// Replace label maps that are there
    #[arg(long)]
    pub overwrite: bool,
}

/// `densesiam views`
#[derive(Debug, Args)]
pub(crate) struct ViewsArguments {
    /// The picture; in a tar shard, SHARD.tar:NAME
    pub image: PathBuf,
    /// Settings laid over the defaults, as key=value (augment.scale=[0.05,0.3] pixsim.grid=5 run.seed=3); `densesiam keys` explains them
    pub settings: Vec<String>,
    /// The PNG to write
    #[arg(long, default_value = "views.png", value_parser = path())]
    pub out: PathBuf,
    /// Replace the PNG if it is there
    #[arg(long)]
    pub overwrite: bool,
}

/// Reads a path, in which a leading `~` stands for the home folder.
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| expand(&path))
}

/// Reads the name of a format.
fn format() -> impl TypedValueParser<Value = Format> {
    let value = |format: Format| {
        let (name, meaning) = format.name_and_meaning();
        PossibleValue::new(name).help(meaning)
    };
    let named = |name: String| Format::ALL.into_iter().find(|format| format.name_and_meaning().0 == name);
    // Only the names of formats are possible here.
    PossibleValuesParser::new(Format::ALL.map(value)).try_map(move |name| named(name).ok_or("no format"))
}

/// The command that was typed; `None` if it asked for help or the version, which is then already printed. A command
/// line that cannot be parsed ends the program.
///
/// # Errors
/// When the answer cannot be written.
pub(crate) fn command_line() -> Result<Option<Command>, Error> {
    match CommandLine::try_parse() {
        Ok(line) => Ok(Some(line.command)),
        Err(refused) if refused.use_stderr() => {
            let words = std::env::args_os().skip(1).map_while(|word| word.into_string().ok());
            keys::advise_setting(refused, &command_of(words)).exit()
        }
        Err(question) => {
            question.print().map_err(Error::Answer)?;
            answer("").map(|()| None)
        }
    }
}

/// The command that the first words name.
fn command_of(words: impl Iterator<Item = String>) -> clap::Command {
    let mut command = CommandLine::command();
    for word in words {
        match command.find_subcommand(word) {
            Some(inner) => command = inner.clone(),
            None => break,
        }
    }
    command
}

/// Whether a command accepts arguments of the form `key=value`.
pub(super) fn takes_settings(command: &clap::Command) -> bool {
    command.get_positionals().any(|argument| ["settings", "arguments"].contains(&argument.get_id().as_str()))
}

impl Command {
    /// Whether the command uses libtorch for more than a moment.
    pub(super) fn computes(&self) -> bool {
        matches!(
            self,
            Self::Pretrain(_)
                | Self::Segment(_)
                | Self::Transfer(_)
                | Self::Ablate(_)
                | Self::Evaluate(_)
                | Self::Probe { .. }
                | Self::Knn { .. }
                | Self::Embed(_)
                | Self::Explore(_)
                | Self::Predict(_)
                | Self::Demo { .. }
                | Self::Bench(_)
        )
    }
}

impl TrainArguments {
    /// What to do if a run directory with the same name exists.
    pub(super) fn start(&self) -> Start {
        match (self.resume, self.overwrite) {
            (true, _) => Start::Resume,
            (_, true) => Start::Overwrite,
            _ => Start::New,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All commands below this one.
    fn all(command: &clap::Command) -> Vec<clap::Command> {
        let inner = command.get_subcommands().flat_map(all);
        std::iter::once(command.clone()).chain(inner).collect()
    }

    #[test]
    fn the_help_of_every_command_that_takes_settings_says_where_they_are_explained() {
        let takers: Vec<_> = all(&CommandLine::command()).into_iter().filter(takes_settings).collect();
        let names: Vec<_> = takers.iter().map(clap::Command::get_name).collect();
        for name in [
            "pretrain", "segment", "transfer", "ablate", "evaluate", "probe", "knn", "embed", "explore",
            "predict", "views", "demo", "step", "memory",
        ] {
            assert!(names.contains(&name), "{name} is not among {names:?}");
        }
        for mut command in takers {
            let name = command.get_name().to_owned();
            for help in [command.render_help(), command.render_long_help()] {
                let words = help.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(words.contains("`densesiam keys`"), "the help of {name} does not name it:\n{words}");
            }
        }
    }

    #[test]
    fn a_command_is_found_by_its_words() {
        let found = |words: &str| command_of(words.split(' ').map(str::to_owned)).get_name().to_owned();
        assert_eq!(found("bench step lr=1 --epochs"), "step");
        assert_eq!(found("pretrain segment --epochs"), "pretrain");
        assert!(!takes_settings(&command_of(["inspect".to_owned()].into_iter())));
    }
}
