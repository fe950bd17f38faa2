//! What a tool can do to you.

/// How much harm a tool call can do, least first: the order is the meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Sensitivity {
    /// Reads what anybody may know.
    Low,
    /// Reads what is private, or changes what is easily put back.
    Medium,
    /// Changes what is hard to put back.
    High,
    /// Runs anything, or can't be put back.
    Critical,
}

impl Sensitivity {
    /// Every sensitivity, least first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word for it in documents, tables and audit entries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "LOW",
            Self::Medium => "MEDIUM",
            Self::High => "HIGH",
            Self::Critical => "CRITICAL",
        }
    }

    /// Reads the word for it.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|sensitivity| sensitivity.as_str() == word)
    }
}
