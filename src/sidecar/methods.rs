//! What becomes of each MCP method: the table, as data.
//!
//! The table is closed. A method that it doesn't name is gated as a tool of its own, which a strict policy
//! denies; a new method of the protocol never passes because nobody thought of it.

/// What the sidecar does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Gated as the tool that its parameters name.
    Tool,
    /// Gated as the tool `mcp:<method>`, with its parameters as arguments.
    Method,
    /// Forwarded as it came.
    Pass,
    /// Refused without a question.
    Deny,
}

/// The methods that are forwarded as they came: life cycle, lists, and what reads nothing of the user's.
const PASSED: [&str; 12] = [
    "initialize",
    "server/discover",
    "ping",
    "logging/setLevel",
    "completion/complete",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "prompts/list",
];

/// The methods that act on a task. No task is known to have been started on this connection, so all are denied.
const TASKS: &str = "tasks/";

/// The only methods that may come without an id. Another one without an id could be run by a server that
/// doesn't look, and would be answered by nobody.
const NOTIFICATIONS: &str = "notifications/";

/// What is done with a request of this method; compared byte by byte.
#[must_use]
pub fn treatment(method: &str) -> Treatment {
    match method {
        "tools/call" => Treatment::Tool,
        _ if PASSED.contains(&method) => Treatment::Pass,
        _ if method.starts_with(TASKS) => Treatment::Deny,
        _ => Treatment::Method,
    }
}

/// Whether a message of this method may come without an id.
#[must_use]
pub fn is_notification(method: &str) -> bool {
    method.starts_with(NOTIFICATIONS)
}

/// The tool as which a method is gated.
#[must_use]
pub fn tool_for(method: &str) -> String {
    format!("mcp:{method}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_methods_pass() {
        for method in PASSED {
            assert_eq!(treatment(method), Treatment::Pass, "{method}");
        }
        for method in
            ["resources/read", "prompts/get", "", "Ping", "ping ", "tools/Call", "tools/list\0", "x/y"]
        {
            assert_eq!(treatment(method), Treatment::Method, "{method}");
        }
        assert_eq!(treatment("tools/call"), Treatment::Tool);
        assert_eq!(tool_for("resources/read"), "mcp:resources/read");
    }

    #[test]
    fn every_method_of_tasks_is_denied() {
        for method in ["tasks/get", "tasks/cancel", "tasks/update", "tasks/result", "tasks/list", "tasks/"] {
            assert_eq!(treatment(method), Treatment::Deny, "{method}");
        }
    }

    #[test]
    fn a_call_is_no_notification() {
        assert!(is_notification("notifications/cancelled"));
        for method in ["tools/call", "ping", "notifications", "Notifications/x", ""] {
            assert!(!is_notification(method), "{method}");
        }
    }
}
