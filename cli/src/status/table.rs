//! Many resources, a line each.

use cnbi_shared::api::CustomNBImage;
use cnbi_shared::api::status::Phase;
use jiff::Timestamp;

use super::super::terminal::{cut, safe, styled, styles, width};
use super::build_type;
use super::words::{Words, age};

/// Columns between columns.
const GAP: usize = 3;

/// The table, no line longer than `columns`.
pub fn render(resources: &[CustomNBImage], with_namespace: bool, now: Timestamp, columns: usize) -> String {
    if resources.is_empty() {
        return "There are no CustomNBImages here.\n".to_owned();
    }
    let mut rows = vec![
        ["NAMESPACE", "NAME", "TYPE", "STATE", "AGE", "WHY"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(resources.iter().map(|resource| {
        let words = Words::of(resource);
        let metadata = &resource.metadata;
        vec![
            safe(metadata.namespace.as_deref().unwrap_or_default()),
            safe(metadata.name.as_deref().unwrap_or_default()),
            build_type(resource).map_or("?", |known| known.as_str()).to_owned(),
            words.state.clone(),
            metadata
                .creation_timestamp
                .as_ref()
                .map_or_else(String::new, |at| age(at.0, now)),
            words.why.clone().unwrap_or_default(),
        ]
    }));
    if !with_namespace {
        for row in &mut rows {
            row.remove(0);
        }
    }
    let count = rows[0].len();
    let widths: Vec<usize> = (0..count)
        .map(|column| rows.iter().map(|row| width(&row[column])).max().unwrap_or(0))
        .collect();
    let state = count - 3;
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        let mut taken = 0;
        for (column, cell) in row.iter().enumerate() {
            let cell = cut(cell, columns.saturating_sub(taken));
            let room = widths[column] + GAP;
            let padding = if column + 1 == count {
                0
            } else {
                room.saturating_sub(width(&cell))
            };
            taken += room;
            let phase = number
                .checked_sub(1)
                .and_then(|index| resources[index].status.as_ref()?.phase)
                .filter(|_| column == state);
            match phase {
                Some(Phase::Ready) => line.push_str(&styled(styles::GOOD, &cell)),
                Some(Phase::Failed) => line.push_str(&styled(styles::BAD, &cell)),
                Some(_) => line.push_str(&styled(styles::UNDER_WAY, &cell)),
                None => line.push_str(&cell),
            }
            if taken >= columns {
                break;
            }
            line.extend(std::iter::repeat_n(' ', padding));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
