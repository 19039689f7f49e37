//! Patterns with braces, as WebDataset's users and shells write them: `coco-{000000..000127}.tar`, `{train,val}.tar`.

/// The most shards that a pattern may name; more must be a typing mistake.
pub(super) const LIMIT: usize = 1_000_000;

/// The paths that a pattern stands for, in the order of the pattern; `None` if there are more than [`LIMIT`]. Braces
/// that hold neither a range of whole numbers nor a comma stand for themselves.
pub(super) fn expand(pattern: &str) -> Option<Vec<String>> {
    let Some(braces) = Braces::first(pattern) else { return Some(vec![pattern.to_owned()]) };
    let tails = expand(braces.after)?;
    let choices = match range(braces.inside) {
        Some(range) => range.numbers()?,
        None => {
            let mut choices = Vec::new();
            for part in &braces.parts {
                choices.extend(expand(part)?);
            }
            choices
        }
    };
    if choices.len().checked_mul(tails.len())? > LIMIT {
        return None;
    }
    let of_choice = |choice: &String| {
        let start = format!("{}{choice}", braces.before);
        tails.iter().map(move |tail| format!("{start}{tail}")).collect::<Vec<_>>()
    };
    Some(choices.iter().flat_map(of_choice).collect())
}

/// The first braces that have a meaning, and the text around them.
struct Braces<'p> {
    before: &'p str,
    inside: &'p str,
    /// The parts between the outermost commas.
    parts: Vec<&'p str>,
    after: &'p str,
}

impl<'p> Braces<'p> {
    fn first(pattern: &'p str) -> Option<Self> {
        let opening = pattern.match_indices('{').map(|(open, _)| open);
        opening.into_iter().find_map(|open| {
            let (parts, close) = closed(pattern, open)?;
            let inside = &pattern[open + 1..close];
            let means = parts.len() > 1 || range(inside).is_some();
            means.then(|| Self { before: &pattern[..open], inside, parts, after: &pattern[close + 1..] })
        })
    }
}

/// The parts of the braces that open at `open`, and the position where they close.
fn closed(pattern: &str, open: usize) -> Option<(Vec<&str>, usize)> {
    let (mut depth, mut start, mut parts) = (0, open + 1, Vec::new());
    for (at, letter) in pattern[open..].char_indices().map(|(at, letter)| (open + at, letter)) {
        match letter {
            '{' => depth += 1,
            ',' if depth == 1 => {
                parts.push(&pattern[start..at]);
                start = at + 1;
            }
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            parts.push(&pattern[start..at]);
            return Some((parts, at));
        }
    }
    None
}

/// `FIRST..LAST`, upwards or downwards, or `FIRST..LAST..STEP`.
struct Range {
    first: u64,
    last: u64,
    step: u64,
    /// The digits that every number is padded to.
    width: usize,
}

fn range(inside: &str) -> Option<Range> {
    let mut numbers = inside.split("..");
    let (first, last, step) = (numbers.next()?, numbers.next()?, numbers.next().unwrap_or("1"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if numbers.next().is_some() || ![first, last, step].into_iter().all(is_number) {
        return None;
    }
    let padded = [first, last].iter().any(|text| text.len() > 1 && text.starts_with('0'));
    let width = if padded { first.len().max(last.len()) } else { 0 };
    let step = step.parse().ok().filter(|&step| step > 0)?;
    Some(Range { first: first.parse().ok()?, last: last.parse().ok()?, step, width })
}

impl Range {
    fn numbers(&self) -> Option<Vec<String>> {
        let steps = self.first.abs_diff(self.last) / self.step;
        if steps >= LIMIT as u64 {
            return None;
        }
        let upwards = self.first <= self.last;
        let number = |place| {
            let way = place * self.step;
            if upwards { self.first + way } else { self.first - way }
        };
        Some((0..=steps).map(|place| format!("{:0width$}", number(place), width = self.width)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(pattern: &str) -> Vec<String> {
        expand(pattern).unwrap()
    }

    #[test]
    fn ranges_keep_their_zeros() {
        assert_eq!(expanded("c-{0008..0011}.tar"), ["c-0008.tar", "c-0009.tar", "c-0010.tar", "c-0011.tar"]);
        assert_eq!(expanded("{8..10}"), ["8", "9", "10"]);
        assert_eq!(expanded("{3..1}"), ["3", "2", "1"]);
        assert_eq!(expanded("{0..10..5}"), ["0", "5", "10"]);
    }

    #[test]
    fn lists_and_several_braces_multiply() {
        assert_eq!(expanded("{a,b}/{0..1}.tar"), ["a/0.tar", "a/1.tar", "b/0.tar", "b/1.tar"]);
        assert_eq!(expanded("{a,b{1..2}}x"), ["ax", "b1x", "b2x"]);
    }

    #[test]
    fn other_braces_stand_for_themselves() {
        for plain in ["", "a.tar", "{a}", "{}", "a{b", "a}b", "{1..}", "{1..2..0}", "{a..c}", "{-1..2}"] {
            assert_eq!(expanded(plain), [plain]);
        }
        assert_eq!(expanded("{x{0..1}"), ["{x0", "{x1"]);
        assert_eq!(expanded("{x}{0..1}"), ["{x}0", "{x}1"]);
    }

    #[test]
    fn a_pattern_without_bound_is_refused() {
        assert_eq!(expand("{0..18446744073709551615}"), None);
        assert_eq!(expand(&"{0..99}".repeat(4)), None);
        assert_eq!(expand("{0..999999}").unwrap().len(), LIMIT);
    }
}
