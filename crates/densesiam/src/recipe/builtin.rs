//! The recipes that the program carries, so that it works without its repository.

/// Name and text of each recipe. A recipe may be named in full or by its last part.
pub const RECIPES: [(&str, &str); 6] = [
    ("pretrain/imagenet_r50_200ep", include_str!("../../../../recipes/pretrain/imagenet_r50_200ep.toml")),
    ("pretrain/coco_r50_800ep", include_str!("../../../../recipes/pretrain/coco_r50_800ep.toml")),
    ("pretrain/folder_r18", include_str!("../../../../recipes/pretrain/folder_r18.toml")),
    ("segment/coco27_r18_10ep", include_str!("../../../../recipes/segment/coco27_r18_10ep.toml")),
    ("segment/camvid_r18", include_str!("../../../../recipes/segment/camvid_r18.toml")),
    ("demo", include_str!("../../../../recipes/demo.toml")),
];

/// The text of a recipe by its name, with or without folder and `.toml`.
pub fn find(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix(".toml").unwrap_or(name);
    let name = name.strip_prefix("recipes/").unwrap_or(name);
    let is_it = |known: &str| known == name || known.rsplit('/').next() == Some(name);
    RECIPES.iter().find(|(known, _)| is_it(known)).map(|(_, text)| *text)
}
