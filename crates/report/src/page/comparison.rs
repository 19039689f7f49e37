//! `ablation.html`: runs beside each other, as a table and as curves.

use maud::html;

use super::chart::Chart;
use super::{chart_section, document, section};

/// Several runs on one page.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What is compared.
    pub title: String,
    /// The rows of the table, the head first.
    pub cells: Vec<Vec<String>>,
    /// Curves of the runs, those of one score together.
    pub charts: Vec<Chart>,
}

impl Comparison {
    /// The page as HTML.
    pub fn render(&self) -> String {
        let body = html! {
            header { h1 { (self.title) } }
            main {
                div.scroll {
                    table.compared {
                        @for (place, row) in self.cells.iter().enumerate() {
                            tr {
                                @for cell in row {
                                    @if place == 0 { th scope="col" { (cell) } } @else { td { (cell) } }
                                }
                            }
                        }
                    }
                }
                (section("Curves", &chart_section(&self.charts)))
            }
        };
        document(&self.title, &body, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Series;

    #[test]
    fn a_comparison_has_its_table_and_its_curves() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).into();
        let points = vec![(0.0, 1.0), (5.0, 2.0)];
        let series = vec![Series { name: "mine, seed 1".into(), points }];
        let page = Comparison {
            title: "a <list>".into(),
            cells: vec![row(["variant", "AP"]), row(["mine & yours", "41.20 +- 0.31"])],
            charts: vec![Chart { title: "voc AP".into(), series, ..Chart::default() }],
        };
        let page = page.render();
        assert!(page.contains("a &lt;list&gt;") && page.contains("<th scope=\"col\">AP</th>"));
        assert!(page.contains("<td>mine &amp; yours</td>") && page.contains("<svg"));
    }
}
