//! The commands, on files that a user would have.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use densesiam_engine::checkpoint::read_safetensors;
use tch::Kind;

use crate::program::{Finished, INSTANT, Place};

#[test]
fn a_run_leaves_all_that_the_manual_says() {
    let place = Place::new();
    place.pretrain("run", &[]).succeeded();
    for file in [
        "recipe.toml",
        "environment.json",
        "report.html",
        "encoder.safetensors",
        "checkpoints/000000006/manifest.json",
        "pictures/features-000000000.png",
        "pictures/features-000000003.png",
        "pictures/features-000000006.png",
    ] {
        assert!(place.path("runs/run").join(file).is_file(), "{file}");
    }
    let metrics = place.metrics("run");
    assert_eq!(metrics.len(), 6);
    for key in ["step", "loss", "loss_global", "loss_pixel", "loss_region", "learning_rate", "gradient_norm"]
    {
        assert!(metrics.iter().all(|row| row[key].is_number()), "{key}");
    }
    assert!(metrics[5]["spread"].is_number() && metrics[5]["categories_used"].is_number());
    assert!(
        metrics[1]["loss_region"] == 0.0 && metrics[3]["loss_region"] != 0.0,
        "RegionSim starts at the middle"
    );
}

#[test]
fn sheets_show_the_weights_that_a_run_began_with_beside_those_it_ended_with() {
    let place = Place::new();
    place.pretrain("short", &["train.duration=3 steps"]).succeeded();
    let sheet = |name: &str, step: u64| {
        std::fs::read(place.path(&format!("runs/{name}/pictures/features-{step:09}.png"))).unwrap()
    };
    let first = sheet("short", 0);
    assert!(first != sheet("short", 3), "features change as weights do");
    // Two rows of a picture of 43 x 32 pixels, its features, and two views of 32 x 32 pixels with their categories, each
    // column as wide as its title; above them the titles.
    let drawn = image::load_from_memory(&first).unwrap().to_rgb8();
    assert_eq!(drawn.width(), 4 * 7 + 8 * (7 + 8 + 6 + 10 + 6 + 10));
    assert!(drawn.height() >= (4 + 8) + (4 + 32) * 2 + 4);
    let colours = |column: u32| {
        let pixels = (0..32).flat_map(|y| (0..32).map(move |x| (x, y)));
        let all: std::collections::BTreeSet<_> =
            pixels.map(|(x, y)| drawn.get_pixel(column + x, 4 + 8 + 4 + y).0).collect();
        all.len()
    };
    assert!(colours(4 + 56 + 4) > 50, "features differ from place to place");

    let page = std::fs::read_to_string(place.path("runs/short/report.html")).unwrap();
    let [before, after] =
        ["<figcaption>before training<", "<figcaption>after 3 steps<"].map(|text| page.find(text).unwrap());
    assert!(before < after && page.matches("<img").count() == 2);

    // Neither kind of sheet leaves a trace in the training, and SimSiam has sheets without categories.
    place.pretrain("unseen", &["train.duration=3 steps", "train.pictures_every=never"]).succeeded();
    assert_eq!(place.weights("short", 3), place.weights("unseen", 3));
    let plain = ["train.duration=3 steps", "pixsim.weight=0", "regionsim.weight=0"];
    place.pretrain("plain", &plain).succeeded();
    let drawn = image::load_from_memory(&sheet("plain", 3)).unwrap();
    assert_eq!(drawn.width(), 4 * 5 + 8 * (7 + 8 + 6 + 6));

    // A resumed run keeps the first sheet.
    std::fs::remove_dir_all(place.path("runs/short/checkpoints/000000003")).unwrap();
    place.pretrain("short", &["train.duration=3 steps", "--resume"]).succeeded().says(&["from step 2"]);
    assert_eq!(sheet("short", 0), first);
    let page = std::fs::read_to_string(place.path("runs/short/report.html")).unwrap();
    assert!(page.contains("<figcaption>before training<"));
}

#[test]
fn the_exported_encoder_is_torchvisions_name_by_name() {
    let place = Place::new();
    place.pretrain("exported", &["train.duration=2 steps"]).succeeded();
    place.run(&["inspect", "runs/exported"]).succeeded().prints(&["resnet18", "global_projector"]);
    let whole = ["ResNet18, usable here", "torchvision's names"];
    place.run(&["inspect", "runs/exported/encoder.safetensors"]).succeeded().prints(&whole);
    place.run(&["inspect", "pictures"]).exited(4);
    std::fs::write(place.path("no.pth"), b"cos\nsystem\n(S'true'\ntR.").unwrap();
    place.run(&["inspect", "no.pth"]).exited(4).says(&["no.pth"]);
    place.run(&["export", "runs/exported/checkpoints/000000002", "--out", "again.safetensors"]).succeeded();
    place.run(&["export", "runs/exported", "--out", "again.safetensors"]).exited(2).says(&["--overwrite"]);
    place.run(&["export", "runs/exported", "--out", "again.safetensors", "--overwrite"]).succeeded();
    let listing = include_str!("../../../nn/tests/it/torchvision/resnet18.txt");
    let expected: BTreeMap<&str, &str> = listing.lines().filter_map(|line| line.split_once(' ')).collect();
    for file in ["runs/exported/encoder.safetensors", "again.safetensors"] {
        let tensors = read_safetensors(&place.path(file)).unwrap();
        assert_eq!(tensors.len(), expected.len());
        for (name, tensor) in &tensors {
            let kind = if tensor.kind() == Kind::Int64 { "i64" } else { "f32" };
            let shape: Vec<_> = tensor.size().iter().map(i64::to_string).collect();
            assert_eq!(expected[name.as_str()], format!("{kind} {}", shape.join("x")), "{name}");
        }
        let tracked = tensors.iter().find(|(name, _)| name == "bn1.num_batches_tracked").unwrap();
        assert_eq!(tracked.1.int64_value(&[]), 4, "two views in each of two steps");
    }
}

#[test]
fn a_folder_alone_is_enough() {
    let place = Place::new();
    let more = ["train.duration=2 steps", "run.threads=1", "pixsim.dim=8", "regionsim.dim=8"];
    let arguments: Vec<&str> = ["pretrain", "pictures/train/images"].into_iter().chain(more).collect();
    place.run(&arguments).succeeded().says(&["train.batch_size=8", "augment.size=64"]);
    assert!(place.path("runs/pictures-train-images/encoder.safetensors").is_file());
    place.run(&["pretrain", "pictures/train/images", "--resume"]).succeeded().says(&["finished: 2 steps"]);
}

#[test]
fn a_dry_run_prints_the_complete_recipe_and_writes_nothing() {
    let place = Place::new();
    let root = format!("data.root={}", place.pictures().display());
    for recipe in
        ["imagenet_r50_200ep", "pretrain/coco_r50_800ep", "recipes/pretrain/folder_r18.toml", "demo"]
    {
        let arguments = ["pretrain", recipe, &root, "train.batch_size=8", "--dry-run"];
        let finished = place.run(&arguments).succeeded().says(&["pictures    16", "2 steps an epoch"]);
        std::fs::write(place.path("resolved.toml"), finished.stdout()).unwrap();
        let again = place.run(&["pretrain", "resolved.toml", "--dry-run"]).succeeded();
        assert_eq!(finished.stdout(), again.stdout(), "a resolved recipe resolves to itself");
    }
    assert!(!place.path("runs").exists());
}

#[test]
fn a_tilde_is_the_home_folder_wherever_a_path_is_given() {
    let place = Place::new();
    let at_home = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("HOME", place.path(""));
        Finished::of(command.spawn().unwrap())
    };
    let settings = [&INSTANT[..], &["train.duration=1 steps", "run.name=run"]].concat();
    let paths = ["data.root=~/pictures/train/images", "run.dir=~/elsewhere"];
    at_home(&[&["pretrain", "folder_r18"][..], &paths, &settings].concat()).succeeded();
    assert!(place.path("elsewhere/run/encoder.safetensors").is_file());
    let recipe = std::fs::read_to_string(place.path("elsewhere/run/recipe.toml")).unwrap();
    assert!(!recipe.contains('~'), "{recipe}");

    std::fs::write(place.path("mine.toml"), "[data]\nroot = \"~/pictures\"\n[labels]\ncategories = 3\n")
        .unwrap();
    let weights = "encoder.weights=~/elsewhere/run/encoder.safetensors";
    let segment =
        ["segment", "mine.toml", weights, "labels.layout=folder", "train.batch_size=4", "--dry-run"];
    let resolved = at_home(&segment).succeeded().stdout();
    assert!(resolved.contains("elsewhere/run/encoder.safetensors") && !resolved.contains('~'), "{resolved}");

    at_home(&["export", "elsewhere/run", "--out=~/exported.safetensors"]).succeeded();
    assert!(place.path("exported.safetensors").is_file() && !place.path("~").exists());
    let probe = ["probe", "given=~/elsewhere/run", "data.root=~/pictures", "probe.epochs=1", "probe.size=64"];
    at_home(&probe).succeeded();
    at_home(&["export", "elsewhere/run", "--out=~other/a"]).exited(2).says(&["another user", "./~other/a"]);
}

#[test]
fn a_folder_that_was_deleted_under_its_shell_stops_nothing_that_lies_elsewhere() {
    let place = Place::new();
    let script = r#"mkdir gone && cd gone && rmdir ../gone && exec "$0" "$@""#;
    let from_nowhere = |arguments: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_densesiam")]).args(arguments);
        command.current_dir(place.path("")).env("CUDA_VISIBLE_DEVICES", "");
        Finished::of(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    };
    let warned = ["the folder that you are in was deleted"];
    from_nowhere(&["recipes"]).succeeded().says(&warned).prints(&["folder_r18"]);
    from_nowhere(&["doctor"]).succeeded().prints(&["gflops_fp32"]);
    let root = place.pictures().display().to_string();
    from_nowhere(&["data", "check", &root]).succeeded().prints(&["16 in"]);
    let (root, runs) = (format!("data.root={root}"), format!("run.dir={}", place.path("runs").display()));
    let settings = [&INSTANT[..], &["train.duration=1 steps", "run.name=far", &root, &runs]].concat();
    from_nowhere(&[&["pretrain", "folder_r18"][..], &settings].concat()).succeeded();
    from_nowhere(&["data", "check", "pictures"]).exited(3).says(&["pictures does not exist"]).says(&warned);
}

#[test]
fn every_ablation_of_the_paper_is_one_key() {
    let place = Place::new();
    for setting in [
        "pixsim.grid=0",
        "pixsim.grid=1",
        "pixsim.grid=14",
        "pixsim.weight=0",
        "regionsim.weight=0",
        "global.region=overlap",
        "regionsim.start=never",
        "regionsim.start=0.4 of training",
        "regionsim.loss=similarity",
        "pixsim.order=grid_proj_pred",
        "pixsim.order=proj_grid_pred",
        "pixsim.distance=cosine",
        "pixsim.points=uniform",
        "pixsim.points=mildly_biased",
        "pixsim.points=heavily_biased",
        "pixsim.correspondence=feature_similarity",
        "pixsim.correspondence=coordinate_distance",
        "pixsim.correspondence=candidate_regions",
        "optimizer.kind=lars",
        "global.weight=0",
        "global.dim=2",
    ] {
        let more = [setting, "train.duration=2 steps", "regionsim.start=0.5 of training", "--overwrite"];
        let more =
            if setting.starts_with("regionsim.start") { [setting, more[1], setting, more[3]] } else { more };
        place.pretrain("ablation", &more).succeeded();
        assert!(place.metrics("ablation").iter().all(|row| row["loss"].is_number()), "{setting}");
    }
}

#[test]
fn views_without_overlap_are_counted_and_their_losses_are_not_zeros() {
    let place = Place::new();
    let more =
        ["augment.scale=[0.01,0.02]", "augment.overlap_tries=0", "global.weight=0", "train.duration=9 steps"];
    place.pretrain("apart", &more).succeeded();
    let metrics = place.metrics("apart");
    assert!(metrics.iter().any(|row| row["without_overlap"].as_u64().unwrap() > 0));
    let (rest, dense): (Vec<_>, Vec<_>) = metrics.iter().partition(|row| row["without_dense_loss"] == 1);
    assert!(!rest.is_empty() && rest.iter().all(|row| row["loss_pixel"].is_null()));
    assert!(dense.iter().all(|row| row["loss_pixel"].as_f64().unwrap() > 0.0));
}

#[test]
fn simsiam_takes_its_views_as_they_fall() {
    let place = Place::new();
    let more = ["augment.scale=[0.01,0.02]", "pixsim.weight=0", "regionsim.weight=0"];
    place.pretrain("simsiam", &more).succeeded();
    assert!(place.metrics("simsiam").iter().all(|row| row["redrawn_views"] == 0));
}

#[test]
fn a_demonstration_replaces_only_itself() {
    let place = Place::new();
    place.pretrain("precious", &["train.duration=2 steps"]).succeeded();
    let root = format!("data.root={}", place.pictures().display());
    place.run(&["demo", "run.name=precious", &root, "train.batch_size=4"]).exited(4).says(&["precious"]);
    assert_eq!(place.metrics("precious").len(), 2);
}

#[test]
fn views_draws_corresponding_points() {
    let place = Place::new();
    let picture = place.pictures().join("0001.jpg");
    let picture = picture.to_str().unwrap();
    let finished = place.run(&["views", picture, "pixsim.grid=5", "--out", "drawn.png"]).succeeded();
    assert!(finished.stdout().contains("25 corresponding points"));
    assert!(image::open(place.path("drawn.png")).unwrap().width() > 400);
    place.run(&["views", picture, "--out", "drawn.png"]).exited(2).says(&["exists"]);
    // The picture comes before the output: this one is there already.
    let one = ["nothing.jpg does not exist; name a picture"];
    place.run(&["views", "nothing.jpg", "--out", "drawn.png"]).exited(3).says(&one);
    let root = place.pictures().display().to_string();
    place.run(&["views", &root]).exited(3).says(&["images is a folder", "images/NAME"]);
    place.run(&["data", "pack", &root, "--out", "shards", "--name", "s"]).succeeded();
    place.run(&["views", "shards/s-000000.tar"]).exited(3).says(&["a tar shard", "s-000000.tar:NAME"]);
}

#[test]
fn doctor_speaks_json() {
    let place = Place::new();
    let finished = place.run(&["doctor", place.pictures().to_str().unwrap(), "--json"]).succeeded();
    let findings: serde_json::Value = serde_json::from_str(&finished.stdout()).unwrap();
    assert_eq!(findings["libtorch"], "2.11.0");
    assert_eq!(findings["pictures"]["found"], 16);
    assert_eq!(findings["pictures"]["unreadable"].as_array().unwrap().len(), 0);
}

#[test]
fn every_measurement_is_one_line_of_json() {
    let place = Place::new();
    let pictures = place.pictures();
    let root = pictures.to_str().unwrap();
    let small = ["encoder.architecture=resnet18", "augment.size=32", "train.batch_size=2", "run.threads=1"];
    let step = ["--steps", "1", "--warmup", "0", "--no-limits"];
    let line = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&place.run(&[&["bench"], arguments].concat()).succeeded().stdout()).unwrap()
    };
    let pictures = ["--pictures", "2", "--repeats", "1"];
    assert!(line(&[&["step"][..], &step, &small].concat())["losses"][0].is_number());
    assert!(
        line(&[&["segment-step", "--regions"][..], &step, &small[1..]].concat())["losses"][0].is_number()
    );
    assert_eq!(line(&[&["loader", root][..], &pictures].concat())["size"], 224);
    assert_eq!(line(&[&["segment-loader", root][..], &pictures].concat())["size"], 320);
    let mut loader = vec!["transfer-loader", "voc_folder", "encoder.weights=random", "objects.val="];
    let annotated = format!("data.root={}", crate::transfer::voc(&place).display());
    loader.push(&annotated);
    let measured = line(&[&loader[..], &pictures[..]].concat());
    assert_eq!((&measured["pictures"], &measured["unusable"]), (&2.into(), &0.into()));
    assert_eq!(line(&["predict", "--size", "32", "--batch", "1", "--steps", "1"])["categories"], 11);
    assert_eq!(line(&["index", root])["pictures"], 16);
    let memory =
        [&["bench", "memory", "--grids", "3", "--repeats", "1", "--steps", "1"][..], &small].concat();
    let said = place.run(&memory).succeeded().stdout();
    let grids: Vec<serde_json::Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(grids[0]["percent_over_simsiam"] == 0.0 && grids[1]["grid"] == 3);
    place.run(&["bench", "memory", "pixsim.gird=3"]).exited(2).says(&["pixsim.grid"]);
}

#[test]
fn recipes_are_carried() {
    let place = Place::new();
    let listed = place.run(&["recipes"]).succeeded().stdout();
    assert!(listed.contains("pretrain/imagenet_r50_200ep"));
    assert!(place.run(&["recipes", "demo"]).succeeded().stdout().contains("[train]"));
    place.run(&["recipes", "none"]).exited(2).says(&["none", "the program carries"]);
    place.run(&["recipes", "pretrain_gird"]).exited(2).says(&["did you mean ablate/pretrain_grid?"]);
    place.run(&["pretrain", "folder_r81"]).exited(2).says(&["did you mean pretrain/folder_r18?"]);
    place.run(&["segment", "segment/camvid-r18.toml"]).exited(2).says(&["did you mean segment/camvid_r18?"]);
    place.run(&["ablate", "pretrain_orders"]).exited(2).says(&["did you mean ablate/pretrain_order?"]);
    let said = place.run(&["pretrain", "xyzzy"]).exited(2).stderr();
    assert!(!said.contains("did you mean"), "{said}");
}

#[test]
fn keys_are_found_by_name_meaning_and_what_others_call_them() {
    let place = Place::new();
    let keys = |arguments: &[&str]| place.run(&[&["keys"], arguments].concat());
    let all = keys(&[]).succeeded().stdout();
    assert!(all.lines().count() > 100 && all.lines().all(|line| line.split('\t').count() == 5), "{all}");
    let grid = keys(&["pretrain", "GRID"]).succeeded().stdout();
    assert!(grid.starts_with("pixsim.grid\t7\t0 to 256\tpretrain\tPoints along a side"), "{grid}");
    assert!(
        grid.lines().count() < 10 && grid.lines().all(|line| line.to_lowercase().contains("grid")),
        "{grid}"
    );
    keys(&["collapse is looked"]).succeeded().prints(&["monitor.every\t\"50 steps\""]);
    keys(&["lr"]).succeeded().prints(&["optimizer.base_learning_rate\t0.05", "probe.learning_rate\t0.5"]);
    keys(&["probe", "precision"]).succeeded().prints(&["run.precision\t\"fp32\"\tauto, fp32, bf16\tprobe\t"]);
    keys(&["gird"]).exited(2).says(&["did you mean `pixsim.grid`?"]);
    keys(&["segment", "xyzzy"]).exited(2).says(&["of segment", "`densesiam keys` lists them all"]);
    keys(&["learning", "rate"]).exited(2).says(&["pretrain, segment, fcn, detector, probe", "quote"]);
}

#[test]
fn an_option_that_is_meant_as_a_setting_is_answered_with_the_key() {
    let place = Place::new();
    let meant = ["key=value, without dashes", "train.duration=\"200 epochs\"", "densesiam keys"];
    for arguments in
        [&["pretrain", "demo", "--epochs", "5"][..], &["segment", "camvid_r18", "--max-epochs=5"]]
    {
        let said = place.run(arguments).exited(2).says(&meant).stderr();
        assert!(!said.contains("use '-- "), "{said}");
    }
    place.run(&["probe", "random", "--epochs", "5"]).exited(2).says(&["such as probe.epochs=20"]);
    place.run(&["pretrain", "demo", "--pixsim.grid=5"]).exited(2).says(&["pixsim.grid=7"]);
    place.run(&["pretrain", "demo", "--overwite"]).exited(2).says(&["'--overwrite'"]);
    place.run(&["pretrain", "demo", "--xyzzy"]).exited(2).says(&["key=value, without dashes;"]);
    let said = place.run(&["inspect", "a", "--epochs", "5"]).exited(2).stderr();
    assert!(!said.contains("key=value"), "{said}");
}

#[test]
fn completions_and_manual_come_from_the_same_definitions_as_the_help() {
    let place = Place::new();
    place.run(&["completions", "bash"]).succeeded().prints(&["densesiam", "pretrain", "--resume"]);
    place.run(&["man", "manual"]).succeeded();
    let page = std::fs::read_to_string(place.path("manual/densesiam-pretrain.1")).unwrap();
    assert!(page.contains("RECIPE") && page.contains("densesiam keys"), "{page}");
    assert!(place.path("manual/densesiam-keys.1").is_file());
}

#[test]
fn a_reader_that_goes_away_ends_an_answer_and_no_training() {
    let place = Place::new();
    let unread = |mut command: Command| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap().code()
    };
    let arguments = place.instant("unheard", &[]);
    let training = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(unread(training), Some(0));
    assert_eq!(place.metrics("unheard").len(), 6);
    let pictures = place.pictures();
    for answer in [&["data", "check", pictures.to_str().unwrap()][..], &["recipes"], &["completions", "bash"]]
    {
        assert_eq!(unread(place.command(answer)), Some(141), "{answer:?}");
    }
    assert_eq!(unread(place.command(&["recipes", "no-such-recipe"])), Some(2));
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure_and_no_training_waits_for_one() {
    let place = Place::new();
    place.pretrain("run", &["train.duration=1 steps"]).succeeded();
    let root = place.pictures().display().to_string();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    for answer in [
        &["data", "check", &root][..],
        &["data", "check", &root, "--json"],
        &["data", "pack", &root, "--out", "shards"],
        &["pretrain", &root, "--dry-run"],
        &["inspect", "runs/run"],
        &["inspect", "runs/run/encoder.safetensors", "--json"],
        &["export", "runs/run", "--out", "exported.safetensors"],
        &["views", &format!("{root}/0000.jpg")],
        &["bench", "index", &root],
        &["ablate", "pretrain_grid", "--dry-run"],
        &["recipes"],
        &["recipes", "demo"],
        &["completions", "bash"],
        &["help"],
        &["pretrain", "--help"],
        &["--version"],
    ] {
        let output = place.command(answer).stdout(full()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{answer:?}: {said}");
        assert!(said.contains("error: cannot write the answer: "), "{answer:?}: {said}");
        assert!(!said.contains("panicked"), "{answer:?}: {said}");
    }
    let arguments = place.instant("unheard", &[]);
    let mut training = place.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(training.stdout(full()).stderr(full()).status().unwrap().code(), Some(0));
    assert_eq!(place.metrics("unheard").len(), 6);
}
