//! What could be spent lately, as heights of a line: its shape and no amount.

/// The highest point.
pub(in crate::web) const TOP: u8 = 100;

/// The heights of `figures`, from 0 at the lowest to [`TOP`] at the highest, none where there is no figure. What moved
/// by less than a hundredth stays near the middle: a line must not make a mountain of a cent.
pub(in crate::web) fn heights(figures: &[Option<i64>]) -> Vec<Option<u8>> {
    let known = || figures.iter().flatten().copied().map(i128::from);
    let (Some(lowest), Some(highest)) = (known().min(), known().max()) else { return vec![None; figures.len()] };
    let least = (lowest.abs().max(highest.abs()) / 100).max(2);
    let span = (highest - lowest).max(least);
    let foot = lowest - (span - (highest - lowest)) / 2;
    let height = |figure: i64| u8::try_from((i128::from(figure) - foot) * i128::from(TOP) / span).unwrap_or(TOP);
    figures.iter().map(|figure| figure.map(height)).collect()
}

/// From the first figure to the last, in thousandths of the first; none if there are not two, or the first is nothing.
pub(in crate::web) fn change(figures: &[Option<i64>]) -> Option<i64> {
    let mut known = figures.iter().flatten().copied().map(i128::from);
    let first = known.next()?;
    let last = known.next_back()?;
    if first <= 0 {
        return None;
    }
    i64::try_from((last - first) * 1_000 / first).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_is_at_the_foot_and_the_highest_at_the_top() {
        for (figures, expected) in [
            (vec![], vec![]),
            (vec![None], vec![None]),
            (vec![Some(7)], vec![Some(50)]),
            (vec![Some(0), None, Some(50), Some(100)], vec![Some(0), None, Some(50), Some(100)]),
            (vec![Some(-100), Some(100)], vec![Some(0), Some(100)]),
            (vec![Some(i64::MAX), Some(i64::MIN + 1)], vec![Some(100), Some(0)]),
            // a thousandth of it
            (vec![Some(100_000), Some(100_100)], vec![Some(44), Some(54)]),
        ] {
            assert_eq!(heights(&figures), expected, "{figures:?}");
        }
    }

    #[test]
    fn a_change_is_a_part_of_where_it_began() {
        for (figures, expected) in [
            (vec![], None),
            (vec![Some(5)], None),
            (vec![Some(0), Some(5)], None),
            (vec![Some(-5), Some(5)], None),
            (vec![None, Some(200), None, Some(1), Some(150), None], Some(-250)),
            (vec![Some(100), Some(250)], Some(1_500)),
            (vec![Some(1), Some(i64::MAX)], None),
        ] {
            assert_eq!(change(&figures), expected, "{figures:?}");
        }
    }
}
