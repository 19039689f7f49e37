//! What the fuzzer left in `fuzz/`, read as the program's own recipes: the fuzzer's one needs no libtorch.

use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::probe::ProbeRecipe;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam::recipe::{Recipe, merged};
use densesiam_fixtures::fuzz::kept;

#[path = "../../../../fuzz/src/recipe.rs"]
#[allow(unreachable_pub, reason = "the fuzzer's programs use it too")]
mod recipe;

#[test]
fn every_kept_recipe_is_read_or_refused() {
    for (_, bytes) in kept(recipe::RECIPE.name) {
        (recipe::RECIPE.read)(&bytes);
        read::<PretrainRecipe>(&bytes);
        read::<SegmentRecipe>(&bytes);
        read::<ProbeRecipe>(&bytes);
    }
}

fn read<R: Recipe>(bytes: &[u8]) {
    recipe::read_and_again(bytes, |text, settings| {
        merged::<R>(text, "recipe.toml", settings).map(|recipe| recipe.to_toml())
    });
}
