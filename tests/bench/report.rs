//! What was measured, and whether it is good enough.

pub mod docs;
pub mod table;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;

/// Everything of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// When it began, RFC 3339.
    pub time: String,
    /// How much was measured, in words.
    pub scale: String,
    /// On what.
    pub machine: Machine,
    /// What the host of a virtual machine gave to others of the processors' time, in percent, part by part.
    pub stolen_percent: Vec<(String, f64)>,
    /// What came out.
    pub rows: Vec<Row>,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// The part of the benchmark.
    pub part: String,
    /// What was measured.
    pub what: String,
    /// What it should be, in words; empty where nothing was asked.
    pub goal: String,
    /// What it is, in words.
    pub measured: String,
    /// Whether that is good enough.
    pub verdict: Verdict,
    /// The figures, with the unit at the end of each name.
    pub figures: BTreeMap<String, f64>,
}

/// Whether a goal is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is.
    Met,
    /// It isn't.
    Below,
    /// None was set.
    NoGoal,
    /// It couldn't be measured.
    Failed,
}

impl Verdict {
    /// Of a goal.
    #[must_use]
    pub fn of(is_met: bool) -> Self {
        if is_met { Self::Met } else { Self::Below }
    }

    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Below => "BELOW THE GOAL",
            Self::NoGoal => "",
            Self::Failed => "NOT MEASURED",
        }
    }
}

impl Row {
    /// A line without a goal.
    #[must_use]
    pub fn new(part: &str, what: &str, measured: String) -> Self {
        Self {
            part: part.into(),
            what: what.into(),
            goal: String::new(),
            measured,
            verdict: Verdict::NoGoal,
            figures: BTreeMap::new(),
        }
    }

    /// The same with a goal.
    #[must_use]
    pub fn goal(mut self, goal: &str, is_met: bool) -> Self {
        self.goal = goal.into();
        self.verdict = Verdict::of(is_met);
        self
    }

    /// The same with a figure; three decimals are kept.
    #[must_use]
    pub fn figure(mut self, name: &str, value: f64) -> Self {
        self.figures.insert(name.into(), (value * 1e3).round() / 1e3);
        self
    }
}

impl Report {
    /// A figure of a row, by its part and its name.
    #[must_use]
    pub fn figure(&self, part: &str, name: &str) -> Option<f64> {
        self.rows.iter().filter(|row| row.part == part).find_map(|row| row.figures.get(name).copied())
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("the report can't be written as JSON")?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// Reads what [`Report::save`] wrote.
    ///
    /// # Errors
    /// When the file can't be read, or is none of this program's.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("`{}` is no report", path.display()))
    }
}
