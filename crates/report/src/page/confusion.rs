//! The confusion matrix after matching, as a heat map: how the pixels of each class were predicted.

use maud::{Markup, html};

use super::classes::{ClassBar, swatch};
use super::{ClassReport, Learnt};

/// The most categories without a class that have their own column; the others share one, so that a page with a thousand
/// categories is still readable.
const UNMATCHED_SHOWN: usize = 12;

/// The most columns with large cells.
const ROOMY: usize = 16;

/// The most columns that fit on a phone.
const NARROW: usize = 11;

/// Labelled pixels by class and pseudo-category.
#[derive(Clone, Debug)]
pub struct ConfusionTable {
    /// For each class the pixels in each pseudo-category.
    pub counts: Vec<Vec<u64>>,
    /// The class that each pseudo-category stands for, if any.
    pub class_of_category: Vec<Option<usize>>,
}

/// One column: the categories in it, and the class they stand for.
struct Column {
    categories: Vec<usize>,
    class: Option<usize>,
}

/// The heat map.
pub(super) fn confusion_section(
    confusion: &ConfusionTable,
    ClassReport { learnt, bars, .. }: &ClassReport,
) -> Markup {
    let columns = confusion.columns();
    let of_columns = match learnt {
        Learnt::WithLabels => "the class that was found",
        Learnt::WithoutLabels => "the class that its pseudo-category stands for",
    };
    html! {
        p.note {
            "Rows: what a pixel is. Columns: " (of_columns) ". Each row adds up to 100 percent; "
            "shares of one percent and more are printed. Framed: right."
            @if columns.len() > NARROW { span.narrow { " The table scrolls sideways." } }
        }
        div.scroll {
            table.confusion.roomy[columns.len() <= ROOMY] {
                thead {
                    tr { th {} @for column in &columns { (column_head(column, bars)) } }
                }
                tbody {
                    @for (class, bar) in bars.iter().enumerate() {
                        tr {
                            th scope="row" { (bar.name) (swatch(bar.colour)) }
                            (row_cells(confusion, class, &columns, bars))
                        }
                    }
                }
            }
        }
    }
}

fn column_head(column: &Column, bars: &[ClassBar]) -> Markup {
    let bar = column.class.and_then(|class| bars.get(class));
    html! {
        th.unmatched[bar.is_none()] scope="col" {
            span.upright {
                @match (bar, column.categories.as_slice()) {
                    (Some(bar), _) => { (swatch(bar.colour)) (bar.name) }
                    (None, [category]) => { "category " (category) }
                    (None, categories) => { (categories.len()) " others" }
                }
            }
        }
    }
}

fn row_cells(confusion: &ConfusionTable, class: usize, columns: &[Column], bars: &[ClassBar]) -> Markup {
    let total: u64 = confusion.counts[class].iter().sum();
    if total == 0 {
        return html! { td.absent colspan=(columns.len()) { "no labelled pixel" } };
    }
    let cell = |column: &Column| {
        let pixels: u64 = column.categories.iter().map(|&category| confusion.counts[class][category]).sum();
        let share = pixels as f64 / total as f64;
        let taken_for =
            column.class.and_then(|class| bars.get(class)).map_or("no class", |bar| bar.name.as_str());
        let tip = format!("{} as {taken_for}: {:.2} %, {pixels} pixels", bars[class].name, 100.0 * share);
        html! {
            td.right[column.class == Some(class)] .strong[share >= 0.75] title=(tip) style=(format!("--s:{share:.3}")) {
                @if share >= 0.01 { (format!("{:.0}", 100.0 * share)) }
            }
        }
    };
    html! { @for column in columns { (cell(column)) } }
}

impl ConfusionTable {
    /// The categories in the order of their classes; after them the largest categories without a class, then the rest
    /// in one column.
    fn columns(&self) -> Vec<Column> {
        let pixels = |category: usize| self.counts.iter().map(|row| row[category]).sum::<u64>();
        let (mut matched, mut unmatched): (Vec<usize>, Vec<usize>) = (0..self.class_of_category.len())
            .partition(|&category| self.class_of_category[category].is_some());
        matched.sort_by_key(|&category| self.class_of_category[category]);
        unmatched.sort_by_key(|&category| std::cmp::Reverse(pixels(category)));
        // A shared column for a single category would save nothing.
        let shown = if unmatched.len() > UNMATCHED_SHOWN + 1 { UNMATCHED_SHOWN } else { unmatched.len() };
        let rest = unmatched.split_off(shown);
        let single =
            |category| Column { categories: vec![category], class: self.class_of_category[category] };
        let mut columns: Vec<Column> = matched.into_iter().chain(unmatched).map(single).collect();
        if !rest.is_empty() {
            columns.push(Column { categories: rest, class: None });
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(counts: Vec<Vec<u64>>, class_of_category: Vec<Option<usize>>) -> String {
        let bar = |number: usize| ClassBar {
            name: format!("class {number}"),
            colour: [0; 3],
            thing: false,
            matched: true,
            share: 0.0,
            iou: None,
            accuracy: None,
        };
        let bars: Vec<_> = (0..counts.len()).map(bar).collect();
        let learnt = Learnt::WithoutLabels;
        let report = ClassReport { step: 7, learnt, bars, confusion: None };
        confusion_section(&ConfusionTable { counts, class_of_category }, &report).0
    }

    #[test]
    fn columns_lie_in_the_order_of_the_classes_and_rows_are_shares() {
        let page = page(vec![vec![1, 3, 0], vec![5, 0, 995]], vec![None, Some(0), Some(1)]);
        let shares: Vec<&str> = page.split("--s:").skip(1).map(|cell| &cell[..5]).collect();
        assert_eq!(shares, ["0.750", "0.000", "0.250", "0.000", "0.995", "0.005"]);
        assert_eq!(page.matches("class=\"right").count(), 2);
        assert!(page.contains(">75<") && page.contains(">category 0<") && !page.contains(">0<"), "{page}");
    }

    #[test]
    fn a_class_without_pixels_or_without_a_column_is_in_its_row() {
        let page = page(vec![vec![0], vec![4], vec![2]], vec![Some(1)]);
        assert_eq!(page.matches("scope=\"row\"").count(), 3);
        assert!(page.contains("no labelled pixel"));
        assert_eq!(page.matches("class=\"right").count(), 1);
    }

    #[test]
    fn a_table_too_wide_for_a_phone_says_that_it_scrolls() {
        let table = |classes: usize| page(vec![vec![1; classes]; classes], (0..classes).map(Some).collect());
        assert!(
            !table(NARROW).contains("scrolls sideways") && table(NARROW + 1).contains("scrolls sideways")
        );
        assert!(table(2).contains("<div class=\"scroll\"><table"));
    }

    #[test]
    fn of_a_thousand_categories_the_largest_have_columns() {
        let counts = vec![(0..1000).collect::<Vec<u64>>()];
        let mut class_of_category = vec![None; 1000];
        class_of_category[17] = Some(0);
        let columns = ConfusionTable { counts, class_of_category }.columns();
        assert_eq!(columns.len(), 1 + UNMATCHED_SHOWN + 1);
        assert_eq!(
            (columns[0].categories.as_slice(), columns[1].categories.as_slice()),
            (&[17][..], &[999][..])
        );
        let all: usize = columns.iter().map(|column| column.categories.len()).sum();
        assert_eq!(all, 1000);
    }
}
