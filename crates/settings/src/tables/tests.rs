//! Which values are read, and how errors in a recipe are reported.

use serde::Deserialize;

use super::*;

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Recipe {
    data: Data,
    train: Train,
    pixsim: PixSim,
    regionsim: RegionSim,
    augment: Augment,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Data {
    root: String,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Train {
    batch_size: u32,
    duration: String,
    learning_rate: f64,
    milestones: Vec<u64>,
    splits: Vec<String>,
    classes: Vec<String>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct PixSim {
    grid: usize,
    weight: f64,
    distance: Distance,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(default)]
struct RegionSim {
    start: u64,
    weight: f64,
    distance: Distance,
}

impl Default for RegionSim {
    fn default() -> Self {
        Self { start: 3, weight: 0.1, distance: Distance::Cosine }
    }
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Augment {
    jitter: [f64; 4],
    scale: (f64, f64),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Distance {
    CrossEntropy,
    Cosine,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            data: Data { root: String::new() },
            train: Train {
                batch_size: 512,
                duration: "200 epochs".to_owned(),
                learning_rate: 0.05,
                milestones: Vec::new(),
                splits: vec!["train".to_owned()],
                classes: Vec::new(),
            },
            pixsim: PixSim { grid: 7, weight: 1.0, distance: Distance::CrossEntropy },
            regionsim: RegionSim::default(),
            augment: Augment { jitter: [0.4, 0.4, 0.4, 0.1], scale: (0.2, 1.0) },
        }
    }
}

fn read(text: &str, overrides: &[&str]) -> Result<Recipe, RecipeError> {
    let settings: Vec<_> = overrides.iter().map(|&setting| setting.to_owned()).collect();
    Tables::merge(&tables_of(&Recipe::default())?, text, "demo.toml", &settings)?.all()
}

fn dump(recipe: &Recipe) -> String {
    toml::to_string(recipe).unwrap()
}

fn complaint(text: &str, overrides: &[&str]) -> String {
    read(text, overrides).unwrap_err().to_string()
}

#[test]
fn nothing_written_is_the_default() {
    assert_eq!(read("", &[]).unwrap(), Recipe::default());
}

#[test]
fn settings_win_over_the_file_and_the_file_over_defaults() {
    let recipe = read("[pixsim]\ngrid = 9\nweight = 0.5", &["pixsim.grid=14"]).unwrap();
    assert_eq!(recipe.pixsim, PixSim { grid: 14, weight: 0.5, distance: Distance::CrossEntropy });
}

#[test]
fn dump_reads_back_to_the_same_recipe() {
    let mut recipe = Recipe::default();
    assert_eq!(read(&dump(&recipe), &[]).unwrap(), recipe);
    recipe.train.learning_rate = 0.1 + 0.2;
    recipe.train.milestones = vec![10, 20];
    recipe.train.duration = "\"quoted\" \\ and\nbroken # ü".to_owned();
    recipe.pixsim.weight = 1e-300;
    recipe.pixsim.distance = Distance::Cosine;
    assert_eq!(read(&dump(&recipe), &[]).unwrap(), recipe);
}

#[test]
fn a_key_of_the_same_table_is_meant_before_that_of_another_program() {
    let known = ["train.batch_size", "roi.batch", "roi.positive"];
    let meant = |key| crate::keys::nearest(key, known.into_iter());
    assert_eq!(meant("roi.batchsize"), Some("roi.batch"));
    assert_eq!(meant("batchsize"), Some("train.batch_size"));
}

#[test]
fn a_list_of_words_needs_no_quotes() {
    for key in ["splits", "classes"] {
        for (text, words) in [
            ("[\"a\", \"b c\"]", &["a", "b c"][..]),
            ("[a, b c]", &["a", "b c"]),
            ("a,b c", &["a", "b c"]),
            ("2007/trainval", &["2007/trainval"]),
            ("\"a\"", &["a"]),
            ("\"a, b\"", &["a, b"]),
            ("[]", &[]),
            ("", &[]),
        ] {
            let train = read("", &[&format!("train.{key}={text}")]).unwrap().train;
            assert_eq!(if key == "splits" { train.splits } else { train.classes }, words, "{text}");
        }
    }
    for text in ["2007", "[2007]"] {
        assert_eq!(read("", &[&format!("train.splits={text}")]).unwrap().train.splits, ["2007"]);
    }
    assert_eq!(read("", &["train.milestones=[1,2]"]).unwrap().train.milestones, [1, 2]);
    assert!(complaint("", &["train.milestones=1"]).contains("an array is expected"));
}

#[test]
fn settings_are_toml_or_else_bare_strings() {
    for setting in ["train.duration=20 epochs", "train.duration=\"20 epochs\"", "train.duration = 20 epochs"]
    {
        assert_eq!(read("", &[setting]).unwrap().train.duration, "20 epochs");
    }
    let recipe = read("", &["data.root=/my/dir", "augment.scale=[0.08,1]", "pixsim={grid=3}"]).unwrap();
    assert_eq!((recipe.data.root.as_str(), recipe.pixsim.grid), ("/my/dir", 3));
    assert_eq!(recipe.augment.scale, (0.08, 1.0));
    // A string key accepts text that would otherwise be a number, a date or a boolean.
    for text in ["7", "2024-01-31", "true", "a=b", "x # y", ""] {
        assert_eq!(read("", &[&format!("data.root={text}")]).unwrap().data.root, text);
    }
}

#[test]
fn integers_are_accepted_for_floats() {
    let recipe = read("regionsim.weight = 2\naugment.jitter = [0, 1, 0.5, 0]", &["pixsim.weight=0"]).unwrap();
    assert_eq!((recipe.regionsim.weight, recipe.pixsim.weight), (2.0, 0.0));
    assert_eq!(recipe.augment.jitter, [0.0, 1.0, 0.5, 0.0]);
    assert_eq!(read("pixsim.weight = 1", &["pixsim.weight=0.5"]).unwrap().pixsim.weight, 0.5);
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_known_one() {
    assert_eq!(
        complaint("[train]\n\nbatchsize = 3", &[]),
        "unknown key `train.batchsize` in demo.toml:3; did you mean `train.batch_size`?"
    );
    assert_eq!(
        complaint("", &["trian.duration=1 step"]),
        "unknown key `trian.duration` in the setting `trian.duration=1 step`; did you mean `train.duration`?"
    );
    for (written, meant) in [
        ("grid", "pixsim.grid"),
        ("train.gird", "pixsim.grid"),
        ("pixsim.weigth", "pixsim.weight"),
        ("region_sim.weight", "regionsim.weight"),
    ] {
        let message = complaint("", &[&format!("{written}=1")]);
        assert!(message.ends_with(&format!("did you mean `{meant}`?")), "{message}");
    }
}

#[test]
fn a_key_like_no_other_is_told_what_there_is() {
    assert!(
        complaint("regionsim.zzzzzz = 1", &[])
            .ends_with("demo.toml:1; `regionsim` has the keys `distance`, `start`, `weight`")
    );
    assert!(complaint("qqqqq = 1", &[]).contains("a recipe has the keys `augment`, `data`, "));
}

#[test]
fn a_wrong_type_names_what_was_found_and_what_is_expected() {
    assert_eq!(
        complaint("[train]\nbatch_size = \"ten\"", &[]),
        "`train.batch_size` in demo.toml:2 is the string \"ten\", but an integer is expected, such as 512"
    );
    assert_eq!(
        complaint("", &["train.batch_size=0.5"]),
        "`train.batch_size` in the setting `train.batch_size=0.5` is the float 0.5, \
         but an integer is expected, such as 512"
    );
    assert!(
        complaint("regionsim = 3", &[])
            .ends_with("but a table is expected, with the keys `distance`, `start`, `weight`")
    );
    assert!(complaint("train.duration.x = 3", &[]).contains("is a table, but a string is expected"));
}

#[test]
fn a_refused_value_names_its_key_and_its_place() {
    let range = complaint("[train]\nbatch_size = -3", &[]);
    assert!(range.starts_with("`train.batch_size` in demo.toml:2 cannot be used: "), "{range}");
    let choice = complaint("pixsim.distance = \"cosine\"", &["pixsim.distance=l2"]);
    assert!(choice.starts_with("`pixsim.distance` in the setting `pixsim.distance=l2`"), "{choice}");
    assert!(choice.contains("`cross_entropy` or `cosine`"), "{choice}");
    let element = complaint("train.milestones = [1, 'x']", &[]);
    assert!(element.starts_with("`train.milestones[1]` in demo.toml:1 cannot be used: "), "{element}");
}

#[test]
fn a_refused_value_below_a_table_is_named_in_full() {
    for (setting, key) in [
        ("regionsim.distance=l2", "regionsim.distance"),
        ("regionsim.start=-1", "regionsim.start"),
        ("regionsim={weight=0.2, distance='l2'}", "regionsim.distance"),
    ] {
        let said = complaint("[regionsim]\nweight = 0.5", &[setting]);
        assert!(said.starts_with(&format!("`{key}` in the setting `{setting}` cannot be used: ")), "{said}");
    }
    let in_file = complaint("[regionsim]\n\ndistance = \"l2\"", &["regionsim.weight=1"]);
    assert!(in_file.starts_with("`regionsim.distance` in demo.toml:3 cannot be used: "), "{in_file}");
    assert!(in_file.contains("`cross_entropy` or `cosine`"), "{in_file}");
}

#[test]
fn what_other_programs_call_a_setting_finds_ours() {
    for (written, meant) in [
        ("epochs", "train.duration"),
        ("train.epochs", "train.duration"),
        ("max-steps", "train.duration"),
        ("batch", "train.batch_size"),
        ("BATCH_SIZE", "train.batch_size"),
        ("optimizer.batch_size", "train.batch_size"),
        ("path", "data.root"),
        // A key that is spelt almost correctly comes first.
        ("trian.milestones", "train.milestones"),
    ] {
        let message = complaint("", &[&format!("{written}=1")]);
        assert!(message.ends_with(&format!("did you mean `{meant}`?")), "{message}");
    }
    // A key that this recipe does not have is not suggested.
    assert!(complaint("", &["tau=1"]).contains("a recipe has the keys"));
}

#[test]
fn broken_toml_is_located() {
    let error = read("[train]\nduration = \"ä\" oops", &[]).unwrap_err();
    let RecipeError::Syntax { origin, line, column, .. } = error else { panic!("{error}") };
    assert_eq!((origin.as_str(), line, column), ("demo.toml", 2, 16));
}

#[test]
fn malformed_settings_are_refused() {
    for setting in ["pixsim.grid", "=3", "pixsim..grid=3", ".grid=3"] {
        assert_eq!(read("", &[setting]).unwrap_err(), RecipeError::Malformed { setting: setting.to_owned() });
    }
}

#[test]
fn two_parts_read_and_write_one_table() {
    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Grid {
        grid: usize,
    }
    #[derive(Serialize, Deserialize, Debug, PartialEq)]
    struct Weight {
        weight: f64,
        distance: Distance,
    }
    let parts = || {
        let weight = Weight { weight: 0.5, distance: Distance::Cosine };
        Ok::<_, RecipeError>([table_of("pixsim", &Grid { grid: 3 })?, table_of("pixsim", &weight)?])
    };
    let defaults = joined(parts().unwrap());
    let tables =
        Tables::merge(&defaults, "[pixsim]\ngrid = 9", "mine.toml", &["pixsim.weight=2".into()]).unwrap();
    assert_eq!(tables.read::<Grid>("pixsim").unwrap(), Grid { grid: 9 });
    assert_eq!(tables.read::<Weight>("pixsim").unwrap(), Weight { weight: 2.0, distance: Distance::Cosine });
    let refused = Tables::merge(&defaults, "[pixsim]\n\ndistance = \"l2\"", "mine.toml", &[]).unwrap();
    let said = refused.read::<Weight>("pixsim").unwrap_err().to_string();
    assert!(said.starts_with("`pixsim.distance` in mine.toml:3 cannot be used: "), "{said}");
    // The other part does not look at it.
    assert_eq!(refused.read::<Grid>("pixsim").unwrap(), Grid { grid: 3 });
}
