//! The table, the same as JSON, and the comparison of two runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::measure::Measured;
use crate::operations::Bound;
use crate::server::Kind;

/// One line of the table.
pub struct Row<'a> {
    pub name: &'a str,
    pub connections: usize,
    pub measured: Measured,
    pub ceiling: Option<Measured>,
    pub bound: Option<Bound>,
}

/// All lines so far.
#[derive(Default)]
pub struct Report {
    kind: Option<Kind>,
    sessions: u32,
    rows: Vec<Value>,
    notes: Vec<String>,
}

impl Report {
    /// Begins the table of one database and one number of sessions.
    pub fn begin(&mut self, kind: Kind, sessions: u32, words: &str) {
        (self.kind, self.sessions) = (Some(kind), sessions);
        self.note(words);
        println!("\n| operation | at once | CPU ms | of it PostgreSQL | bound | /s | p50 ms | p99 ms | of the ceiling |");
        println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    }

    /// Prints a line below the table.
    pub fn note(&mut self, words: &str) {
        println!("\n{words}");
        self.notes.push(words.to_owned());
    }

    /// Adds a line and prints it.
    pub fn add(&mut self, row: &Row) {
        let Row { name, connections, measured, ceiling, bound } = row;
        let kind = self.kind.unwrap();
        let limit =
            bound.map(|Bound(sqlite, postgres)| if kind == Kind::Sqlite { sqlite } else { postgres }).filter(|it| it.is_finite());
        let cpu = measured.cpu_ms();
        let verdict = limit.map_or_else(String::new, |limit| format!("{limit} {}", if cpu <= limit { "✓" } else { "✗" }));
        let share = ceiling.map(|ceiling| measured.rate / ceiling.rate);
        println!(
            "| {name} | {connections} | {} | {} | {verdict} | {:.0} | {:.2} | {:.2} | {} |",
            figure(cpu),
            if kind == Kind::Postgres { figure(measured.database_micros / 1000.0) } else { String::new() },
            measured.rate,
            measured.p50,
            measured.p99,
            share.map_or_else(String::new, |share| format!("{:.0} %", share * 100.0)),
        );
        self.rows.push(json!({
            "database": kind.name(), "sessions": self.sessions, "operation": name, "connections": connections,
            "server_micros": finite(measured.server_micros), "database_micros": finite(measured.database_micros),
            "rate": measured.rate, "p50_ms": measured.p50, "p99_ms": measured.p99, "of_ceiling": share, "bound_ms": limit,
        }));
    }

    /// Prints what ten times as many sessions cost.
    pub fn print_growth(&self) {
        type Line<'a> = ((&'a str, &'a str, i64), BTreeMap<i64, f64>);
        let mut cpu: Vec<Line> = Vec::new();
        for row in &self.rows {
            let Some(total) = total(row) else { continue };
            let key = (text(&row["database"]), text(&row["operation"]), row["connections"].as_i64().unwrap());
            let at = cpu.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
                cpu.push((key, BTreeMap::new()));
                cpu.len() - 1
            });
            cpu[at].1.insert(row["sessions"].as_i64().unwrap(), total);
        }
        println!("\n| database | operation | at once | CPU ms at 1,000 | at 100,000 | at 1,000,000 | 1,000,000 to 100,000 |");
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        for ((database, operation, connections), by_size) in &cpu {
            let at = |sessions: i64| by_size.get(&sessions).map_or_else(String::new, |micros| figure(micros / 1000.0));
            let growth = by_size.get(&1_000_000).zip(by_size.get(&100_000)).map(|(large, small)| large / small);
            println!(
                "| {database} | {operation} | {connections} | {} | {} | {} | {} |",
                at(1000),
                at(100_000),
                at(1_000_000),
                growth.map_or_else(String::new, |growth| format!("{growth:.2}"))
            );
        }
    }

    pub fn write_json(&self, path: &str) {
        let all = json!({ "rows": self.rows, "notes": self.notes });
        std::fs::write(path, serde_json::to_vec_pretty(&all).unwrap()).unwrap();
    }
}

/// Prints the rows that two runs share, with the ratio of the second to the first.
pub fn compare(before: &str, now: &str) {
    let read = |path: &str| -> Value { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let (before, now) = (read(before), read(now));
    let name = |row: &Value| {
        format!("{} | {} | {} | {}", text(&row["database"]), row["sessions"], text(&row["operation"]), row["connections"])
    };
    let old: BTreeMap<String, &Value> = before["rows"].as_array().unwrap().iter().map(|row| (name(row), row)).collect();
    println!("| database | sessions | operation | at once | CPU µs before | now | ratio | /s ratio |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for row in now["rows"].as_array().unwrap() {
        let Some(old) = old.get(&name(row)) else { continue };
        let rate = row["rate"].as_f64().unwrap() / old["rate"].as_f64().unwrap();
        let cpu = total(old)
            .zip(total(row))
            .map_or_else(|| " | | ".to_owned(), |(before, now)| format!("{before:.0} | {now:.0} | {:.2}", now / before));
        println!("| {} | {cpu} | {rate:.2} |", name(row));
    }
}

fn total(row: &Value) -> Option<f64> {
    Some(row["server_micros"].as_f64()? + row["database_micros"].as_f64()?)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn finite(micros: f64) -> Option<f64> {
    micros.is_finite().then_some(micros)
}

fn figure(millis: f64) -> String {
    if millis.is_nan() { String::new() } else { format!("{millis:.3}") }
}
