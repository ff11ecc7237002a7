//! The results of a run: JSON, a Markdown table and a chart.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

const CASES: [(&str, &str); 2] = [("no_fact", "no fact is read"), ("secret", "a Secret is read")];
const RIVALS: [(&str, &str); 4] = [
    ("ours", "#2f6fab"),
    ("peer", "#c2703d"),
    ("parse_floor", "#9a9a9a"),
    ("noop_floor", "#c8c8c8"),
];
const CONNECTIONS: [&str; 3] = ["c1", "c16", "c64"];

/// Writes `results.json`, `table.md` and `plot.svg`, and prints the table.
pub fn write(results: &Value, folder: &Path) -> Result<()> {
    fs::write(
        folder.join("results.json"),
        serde_json::to_string_pretty(results)? + "\n",
    )?;
    let table = table(results)?;
    println!("{table}");
    fs::write(folder.join("table.md"), table)?;
    fs::write(folder.join("plot.svg"), plot(results)?)?;
    Ok(())
}

/// The table, and the document that includes it.
#[derive(Debug, clap::Args)]
pub struct Quote {
    /// Folder of the results
    #[arg(long)]
    output: PathBuf,
    /// The document
    #[arg(long)]
    document: PathBuf,
}

impl Quote {
    /// Writes the table into the document, between its two marker lines.
    pub fn run(&self) -> Result<()> {
        const BEGIN: &str = "<!-- measured: `make bench` -->\n";
        const END: &str = "<!-- end of what was measured -->\n";
        let table = fs::read_to_string(self.output.join("table.md")).context("reading the table")?;
        let text = fs::read_to_string(&self.document)?;
        let parts = text.split_once(BEGIN);
        let parts = parts.and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
        let (before, after) =
            parts.with_context(|| format!("{} has no marker lines for the table", self.document.display()))?;
        fs::write(&self.document, format!("{before}{BEGIN}\n{table}\n{END}{after}"))?;
        Ok(())
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

#[expect(clippy::too_many_lines, reason = "one row per measurement")]
fn table(results: &Value) -> Result<String> {
    let mut out = String::new();
    writeln!(out, "machine: {}\n", results["machine"])?;
    writeln!(
        out,
        "| case | connections | | reviews/s | p50 µs | p99 µs | at reviews/s | CPU µs |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    for (case, _) in CASES {
        for connections in CONNECTIONS {
            for (rival, _) in RIVALS {
                let cell = &results["webhook"][case][rival][connections];
                writeln!(
                    out,
                    "| {case} | {} | {rival} | {} | {} | {} | {} | {} |",
                    &connections[1..],
                    cell["rps"],
                    cell["p50_us"],
                    cell["p99_us"],
                    cell["at_rate"],
                    cell["cpu_us"],
                )?;
            }
        }
    }
    writeln!(
        out,
        "\n| ratio, ours to the peer's | asked for | measured |\n|---|---|---|"
    )?;
    let at = |case: &str, rival: &str, key: &str| number(&results["webhook"][case][rival]["c16"][key]);
    let ratio = |case, key| at(case, "ours", key) / at(case, "peer", key);
    let memory = |rival: &str| number(&results["memory_mib"][rival]);
    let create = |rival: &str| number(&results["create_us"][rival]["p50"]);
    let rows = [
        (
            "reviews/s, no fact, 16 connections",
            "at least 3",
            ratio("no_fact", "rps"),
        ),
        ("p99, no fact", "at most 0.25", ratio("no_fact", "p99_us")),
        (
            "reviews/s, no fact, to the parsing floor's",
            "at least 0.7",
            at("no_fact", "ours", "rps") / at("no_fact", "parse_floor", "rps"),
        ),
        ("reviews/s, Secret", "at least 1.5", ratio("secret", "rps")),
        ("p99, Secret", "at most 0.5", ratio("secret", "p99_us")),
        (
            "processor time, no fact, ours to the peer's",
            "",
            ratio("no_fact", "cpu_us"),
        ),
        (
            "processor time, no fact, the parsing floor's to ours",
            "",
            at("no_fact", "parse_floor", "cpu_us") / at("no_fact", "ours", "cpu_us"),
        ),
        (
            "processor time, Secret, ours to the peer's",
            "",
            ratio("secret", "cpu_us"),
        ),
        ("memory", "at most 0.33", memory("ours") / memory("peer")),
        ("memory in MiB, ours alone", "at most 32", memory("ours")),
        (
            "cold start in ms, ours alone",
            "at most 300",
            number(&results["cold_start_ms"]["ours"]),
        ),
        (
            "what the webhooks add to a create, medians",
            "0.65",
            (create("ours") - create("none")) / (create("peer") - create("none")),
        ),
        (
            "p99 during 2,000 silent and 700 slow connections, to unloaded",
            "",
            number(&results["flood"]["p99_us"]) / number(&results["flood"]["unloaded_p99_us"]),
        ),
        (
            "memory in MiB, ours during them",
            "below 256",
            number(&results["flood"]["resident_kib"]) / 1024.0,
        ),
    ];
    for (what, asked, measured) in rows {
        writeln!(out, "| {what} | {asked} | {measured:.2} |")?;
    }
    let columns = [
        "resources",
        "settle_s",
        "reads_per_resource",
        "writes_per_resource",
        "rss_kib_per_resource",
        "resync_writes",
    ];
    writeln!(out, "\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()))?;
    for row in results["controller"].as_array().into_iter().flatten() {
        let cells: Vec<String> = columns.iter().map(|column| row[*column].to_string()).collect();
        writeln!(out, "| {} |", cells.join(" | "))?;
    }
    Ok(out)
}

/// Four bar charts: throughput and 99th percentile of both cases.
fn plot(results: &Value) -> Result<String> {
    const WIDTH: f64 = 460.0;
    const HEIGHT: f64 = 260.0;
    let mut out = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 960 620\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"960\" height=\"620\" fill=\"white\"/>\n",
    );
    let panels = [
        ("rps", "reviews/s at most"),
        ("p99_us", "p99 in µs, at half of the peer's reviews/s"),
    ];
    for (row, (key, what)) in (0u8..).zip(panels) {
        for (column, (case, title)) in (0u8..).zip(CASES) {
            let (left, top) = (
                20.0 + f64::from(column) * (WIDTH + 20.0),
                30.0 + f64::from(row) * (HEIGHT + 30.0),
            );
            let value = |rival: &str, connections: &str| number(&results["webhook"][case][rival][connections][key]);
            let highest = RIVALS
                .iter()
                .flat_map(|(rival, _)| CONNECTIONS.map(|connections| value(rival, connections)))
                .fold(1.0, f64::max);
            writeln!(
                out,
                "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{what}: {title}</text>",
                top - 8.0
            )?;
            let floor = top + HEIGHT - 40.0;
            for (group, connections) in (0u8..).zip(CONNECTIONS) {
                let start = left + f64::from(group) * WIDTH / 3.0;
                for (bar, (rival, colour)) in (0u8..).zip(RIVALS) {
                    let value = value(rival, connections);
                    let height = (HEIGHT - 70.0) * value / highest;
                    let x = start + f64::from(bar) * 33.0;
                    writeln!(
                        out,
                        "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"29\" height=\"{height:.1}\" fill=\"{colour}\"/>\
                         <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\" text-anchor=\"middle\">{value:.0}</text>",
                        floor - height,
                        x + 14.5,
                        floor - height - 3.0,
                    )?;
                }
                writeln!(
                    out,
                    "<text x=\"{start}\" y=\"{}\">{} connections</text>",
                    floor + 16.0,
                    &connections[1..]
                )?;
            }
        }
    }
    for (index, (rival, colour)) in (0u8..).zip(RIVALS) {
        let x = 20.0 + f64::from(index) * 120.0;
        writeln!(
            out,
            "<rect x=\"{x}\" y=\"598\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"608\">{rival}</text>",
            x + 18.0
        )?;
    }
    out.push_str("</svg>\n");
    Ok(out)
}
