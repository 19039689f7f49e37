//! What the fuzzer left in `fuzz/`, read as the program's own recipes: the fuzzer's one needs no libtorch.

use densesiam::recipe::pretrain::PretrainRecipe;
use densesiam::recipe::probe::ProbeRecipe;
use densesiam::recipe::segment::SegmentRecipe;
use densesiam_fixtures::fuzz::kept;

#[path = "../../../../fuzz/src/recipe.rs"]
#[allow(unreachable_pub, reason = "the fuzzer's programs use it too")]
mod recipe;

#[test]
fn every_kept_recipe_is_read_or_refused() {
    for (_, bytes) in kept(recipe::RECIPE.name) {
        (recipe::RECIPE.read)(&bytes);
        recipe::read_recipe::<PretrainRecipe>(&bytes);
        recipe::read_recipe::<SegmentRecipe>(&bytes);
        recipe::read_recipe::<ProbeRecipe>(&bytes);
    }
}
