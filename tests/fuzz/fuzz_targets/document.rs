//! Any text as a policy document: it is refused with faults that can be shown, or it compiles, its rules can be
//! analysed, and whoever asks it gets one answer.
#![no_main]

use callgate::domain::{
    json::Value,
    policy::{
        Policy,
        document::Document,
        endpoint::{Attributes, Endpoint, eval::EndpointQuestion, eval::evaluate_endpoint},
        eval::{Arguments, Question, evaluate, explain},
        fault::FAULTS_MAX,
        rule::analysis::remarks,
    },
    time::Timestamp,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(faults) => {
            assert!(!faults.is_empty() && faults.len() <= FAULTS_MAX);
            for fault in faults {
                let told = fault.to_string();
                assert!(!fault.message.is_empty() && !told.contains(char::is_control), "{told:?}");
                let lines = u64::try_from(text.split(['\n', '\r']).count()).expect("a count");
                assert!(fault.line.is_none_or(|line| (1..=lines + 1).contains(&line)), "{told}");
            }
            return;
        }
    };
    // What is good is good when it was stored, too, and says the same.
    assert_eq!(Document::parse_stored(text).as_ref(), Ok(&document));
    let policy = Policy::compile(&document, 1);
    assert!(!policy.locks_everybody_out());
    let _ = remarks(document.rules());
    ask(&policy);
    if let Some(directory) = document.directory() {
        assert!(directory.changes_to(policy.directory()).is_empty());
    }
});

/// Asks for every user and tool entry, and for every endpoint entry: the patterns themselves are names too.
fn ask(policy: &Policy) {
    let none = Attributes::read("", 16).expect("no attributes");
    let time = Timestamp::from_micros(1_795_000_000_000_000);
    let users: Vec<_> = policy.users().take(4).collect();
    let names = users.iter().map(|user| user.name().as_str()).chain(["nobody"]);
    for user in names {
        for entry in policy.tools().iter().take(4) {
            let (server, tool) = (entry.server.to_string(), entry.name.to_string());
            let question = Question {
                user,
                agent: None,
                server: &server,
                tool: &tool,
                arguments: Arguments::Read(&Value::Null),
                time,
            };
            assert_eq!(explain(policy, &question).verdict, evaluate(policy, &question));
        }
        for entry in policy.endpoints().entries().iter().take(4) {
            let method = entry.methods.first().map_or("GET", |method| method.as_str());
            // A pattern needn't be a path: its literals are written decoded.
            let Ok(endpoint) = Endpoint::read(method, entry.pattern.as_str()) else { continue };
            let question =
                EndpointQuestion { user, agent: None, endpoint: Ok(&endpoint), attributes: &none, time };
            let verdict = evaluate_endpoint(policy, &question);
            assert!(verdict.entry.is_some() || verdict.shadow.is_some(), "{} meets nothing", entry.pattern);
        }
    }
}
