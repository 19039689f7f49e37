//! The recipes that the program carries, so that it works without its repository.

/// Name and text of each recipe. A recipe may be named in full or by its last part.
pub const RECIPES: [(&str, &str); 47] = [
    ("pretrain/imagenet_r50_200ep", include_str!("../../../../recipes/pretrain/imagenet_r50_200ep.toml")),
    ("pretrain/coco_r50_800ep", include_str!("../../../../recipes/pretrain/coco_r50_800ep.toml")),
    ("pretrain/folder_r18", include_str!("../../../../recipes/pretrain/folder_r18.toml")),
    (
        "pretrain/rivals/simclr_imagenet_r50_200ep",
        include_str!("../../../../recipes/pretrain/rivals/simclr_imagenet_r50_200ep.toml"),
    ),
    (
        "pretrain/rivals/simclr_folder_r18",
        include_str!("../../../../recipes/pretrain/rivals/simclr_folder_r18.toml"),
    ),
    (
        "pretrain/rivals/byol_imagenet_r50_200ep",
        include_str!("../../../../recipes/pretrain/rivals/byol_imagenet_r50_200ep.toml"),
    ),
    (
        "pretrain/rivals/byol_folder_r18",
        include_str!("../../../../recipes/pretrain/rivals/byol_folder_r18.toml"),
    ),
    (
        "pretrain/rivals/moco_v2_imagenet_r50_200ep",
        include_str!("../../../../recipes/pretrain/rivals/moco_v2_imagenet_r50_200ep.toml"),
    ),
    (
        "pretrain/rivals/moco_v2_folder_r18",
        include_str!("../../../../recipes/pretrain/rivals/moco_v2_folder_r18.toml"),
    ),
    (
        "pretrain/rivals/densecl_imagenet_r50_200ep",
        include_str!("../../../../recipes/pretrain/rivals/densecl_imagenet_r50_200ep.toml"),
    ),
    (
        "pretrain/rivals/densecl_folder_r18",
        include_str!("../../../../recipes/pretrain/rivals/densecl_folder_r18.toml"),
    ),
    (
        "pretrain/rivals/pixpro_imagenet_r50_200ep",
        include_str!("../../../../recipes/pretrain/rivals/pixpro_imagenet_r50_200ep.toml"),
    ),
    (
        "pretrain/rivals/pixpro_folder_r18",
        include_str!("../../../../recipes/pretrain/rivals/pixpro_folder_r18.toml"),
    ),
    (
        "pretrain/rivals/resim_imagenet_r50_200ep",
        include_str!("../../../../recipes/pretrain/rivals/resim_imagenet_r50_200ep.toml"),
    ),
    (
        "pretrain/rivals/resim_folder_r18",
        include_str!("../../../../recipes/pretrain/rivals/resim_folder_r18.toml"),
    ),
    (
        "pretrain/rivals/scrl_imagenet_r50_200ep",
        include_str!("../../../../recipes/pretrain/rivals/scrl_imagenet_r50_200ep.toml"),
    ),
    (
        "pretrain/rivals/scrl_folder_r18",
        include_str!("../../../../recipes/pretrain/rivals/scrl_folder_r18.toml"),
    ),
    (
        "pretrain/rivals/soco_imagenet_r50_200ep",
        include_str!("../../../../recipes/pretrain/rivals/soco_imagenet_r50_200ep.toml"),
    ),
    (
        "pretrain/rivals/soco_folder_r18",
        include_str!("../../../../recipes/pretrain/rivals/soco_folder_r18.toml"),
    ),
    (
        "pretrain/rivals/vader_imagenet_r50_200ep",
        include_str!("../../../../recipes/pretrain/rivals/vader_imagenet_r50_200ep.toml"),
    ),
    (
        "pretrain/rivals/vader_folder_r18",
        include_str!("../../../../recipes/pretrain/rivals/vader_folder_r18.toml"),
    ),
    (
        "pretrain/rivals/detco_imagenet_r50_200ep",
        include_str!("../../../../recipes/pretrain/rivals/detco_imagenet_r50_200ep.toml"),
    ),
    (
        "pretrain/rivals/detco_folder_r18",
        include_str!("../../../../recipes/pretrain/rivals/detco_folder_r18.toml"),
    ),
    (
        "pretrain/rivals/detcon_imagenet_r50_200ep",
        include_str!("../../../../recipes/pretrain/rivals/detcon_imagenet_r50_200ep.toml"),
    ),
    (
        "pretrain/rivals/detcon_folder_r18",
        include_str!("../../../../recipes/pretrain/rivals/detcon_folder_r18.toml"),
    ),
    (
        "pretrain/rivals/cast_imagenet_r50_200ep",
        include_str!("../../../../recipes/pretrain/rivals/cast_imagenet_r50_200ep.toml"),
    ),
    (
        "pretrain/rivals/cast_folder_r18",
        include_str!("../../../../recipes/pretrain/rivals/cast_folder_r18.toml"),
    ),
    ("segment/coco27_r18_10ep", include_str!("../../../../recipes/segment/coco27_r18_10ep.toml")),
    ("segment/camvid_r18", include_str!("../../../../recipes/segment/camvid_r18.toml")),
    ("segment/folder", include_str!("../../../../recipes/segment/folder.toml")),
    (
        "segment/rivals/picie_coco27_r18_10ep",
        include_str!("../../../../recipes/segment/rivals/picie_coco27_r18_10ep.toml"),
    ),
    (
        "segment/rivals/picie_cityscapes27_r18_10ep",
        include_str!("../../../../recipes/segment/rivals/picie_cityscapes27_r18_10ep.toml"),
    ),
    (
        "segment/rivals/picie_camvid_r18",
        include_str!("../../../../recipes/segment/rivals/picie_camvid_r18.toml"),
    ),
    (
        "segment/rivals/mdc_coco27_r18_10ep",
        include_str!("../../../../recipes/segment/rivals/mdc_coco27_r18_10ep.toml"),
    ),
    (
        "segment/rivals/mdc_cityscapes27_r18_10ep",
        include_str!("../../../../recipes/segment/rivals/mdc_cityscapes27_r18_10ep.toml"),
    ),
    ("segment/rivals/mdc_camvid_r18", include_str!("../../../../recipes/segment/rivals/mdc_camvid_r18.toml")),
    (
        "segment/rivals/iic_coco27_r18_10ep",
        include_str!("../../../../recipes/segment/rivals/iic_coco27_r18_10ep.toml"),
    ),
    (
        "segment/rivals/iic_cityscapes27_r18_10ep",
        include_str!("../../../../recipes/segment/rivals/iic_cityscapes27_r18_10ep.toml"),
    ),
    ("segment/rivals/iic_camvid_r18", include_str!("../../../../recipes/segment/rivals/iic_camvid_r18.toml")),
    (
        "transfer/cityscapes_fcn_d8_40k",
        include_str!("../../../../recipes/transfer/cityscapes_fcn_d8_40k.toml"),
    ),
    ("transfer/segmentation_folder", include_str!("../../../../recipes/transfer/segmentation_folder.toml")),
    (
        "transfer/voc_faster_rcnn_c4_24k",
        include_str!("../../../../recipes/transfer/voc_faster_rcnn_c4_24k.toml"),
    ),
    (
        "transfer/coco_mask_rcnn_fpn_1x",
        include_str!("../../../../recipes/transfer/coco_mask_rcnn_fpn_1x.toml"),
    ),
    ("transfer/coco_folder", include_str!("../../../../recipes/transfer/coco_folder.toml")),
    ("transfer/voc_folder", include_str!("../../../../recipes/transfer/voc_folder.toml")),
    ("demo", include_str!("../../../../recipes/demo.toml")),
    ("demo_segment", include_str!("../../../../recipes/demo_segment.toml")),
];

/// Name and text of each ablation.
pub const ABLATIONS: [(&str, &str); 17] = [
    ("ablate/pretrain_components", include_str!("../../../../recipes/ablate/pretrain_components.toml")),
    (
        "ablate/pretrain_correspondence",
        include_str!("../../../../recipes/ablate/pretrain_correspondence.toml"),
    ),
    ("ablate/pretrain_global_region", include_str!("../../../../recipes/ablate/pretrain_global_region.toml")),
    ("ablate/pretrain_grid", include_str!("../../../../recipes/ablate/pretrain_grid.toml")),
    ("ablate/pretrain_methods", include_str!("../../../../recipes/ablate/pretrain_methods.toml")),
    (
        "ablate/pretrain_methods_folder",
        include_str!("../../../../recipes/ablate/pretrain_methods_folder.toml"),
    ),
    ("ablate/pretrain_order", include_str!("../../../../recipes/ablate/pretrain_order.toml")),
    ("ablate/pretrain_pixsim_weight", include_str!("../../../../recipes/ablate/pretrain_pixsim_weight.toml")),
    ("ablate/pretrain_points", include_str!("../../../../recipes/ablate/pretrain_points.toml")),
    (
        "ablate/pretrain_regionsim_start",
        include_str!("../../../../recipes/ablate/pretrain_regionsim_start.toml"),
    ),
    (
        "ablate/pretrain_regionsim_weight",
        include_str!("../../../../recipes/ablate/pretrain_regionsim_weight.toml"),
    ),
    ("ablate/segment_choices", include_str!("../../../../recipes/ablate/segment_choices.toml")),
    ("ablate/segment_components", include_str!("../../../../recipes/ablate/segment_components.toml")),
    ("ablate/segment_methods", include_str!("../../../../recipes/ablate/segment_methods.toml")),
    ("ablate/segment_methods_camvid", include_str!("../../../../recipes/ablate/segment_methods_camvid.toml")),
    ("ablate/transfer_folder", include_str!("../../../../recipes/ablate/transfer_folder.toml")),
    ("ablate/transfer_table2", include_str!("../../../../recipes/ablate/transfer_table2.toml")),
];

/// The text of a recipe by its name, with or without folder and `.toml`.
pub fn find(name: &str) -> Option<&'static str> {
    named(&RECIPES, name)
}

/// The text of an ablation by its name, in the same way.
pub fn find_ablation(name: &str) -> Option<&'static str> {
    named(&ABLATIONS, name)
}

/// The command that reads the recipe of a name; `None` for one of the demonstration.
pub fn command_of(name: &str) -> Option<&'static str> {
    let (known, _) = RECIPES.iter().find(|(known, _)| is_named(known, name))?;
    known.split_once('/').map(|(command, _)| command)
}

/// The recipes of a command.
pub fn recipes_of(command: &str) -> Vec<(&'static str, &'static str)> {
    RECIPES.iter().filter(|(known, _)| known.starts_with(&format!("{command}/"))).copied().collect()
}

/// Suggestions for a name that does not exist: the name that begins with it, or else the most similar one, and all names.
pub fn names_like(carried: &[(&str, &str)], name: &str) -> String {
    const ALIKE: f64 = 0.6;
    let last = |name: &str| name.trim_end_matches(".toml").rsplit('/').next().unwrap_or_default().to_owned();
    let likeness = |known: &str| strsim::normalized_damerau_levenshtein(&last(known), &last(name));
    let names = || carried.iter().map(|(known, _)| *known);
    let near = names().map(|known| (likeness(known), known)).filter(|(alike, _)| *alike >= ALIKE);
    let near = near.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, known)| known);
    let begun = last(name);
    let begins = names().find(|known| begun.len() >= 3 && last(known).starts_with(&begun));
    let meant = begins.or(near).map_or("the".to_owned(), |known| format!("did you mean {known}? The"));
    format!("{meant} program carries {}", names().collect::<Vec<_>>().join(", "))
}

fn named(carried: &[(&str, &'static str)], name: &str) -> Option<&'static str> {
    carried.iter().find(|(known, _)| is_named(known, name)).map(|(_, text)| *text)
}

/// Whether a carried recipe is called so.
fn is_named(known: &str, name: &str) -> bool {
    let name = name.strip_suffix(".toml").unwrap_or(name);
    let name = name.strip_prefix("recipes/").unwrap_or(name);
    known == name || known.rsplit('/').next() == Some(name)
}
