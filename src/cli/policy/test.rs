//! `callgate policy test`: suites of questions and expected answers, run on a policy file, without a server.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use crate::{
    cli::{
        call::read_file,
        failure::Failure,
        output::{Format, Output},
        table::{Tone, paint},
        text,
    },
    domain::policy::suite::{Coverage, Outcome, Report, Suite},
    status::exit::Exit,
};

use super::DOCUMENT_BYTES_MAX;

/// The arguments of `policy test`.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// The suites, YAML
    #[arg(value_name = "SUITE", required = true)]
    suites: Vec<String>,
    /// Ask this policy instead of the one that each suite names, YAML; `-` for stdin
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
    /// Also write the answers to this file, as `JUnit` has them
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Fail when a permission or a rule is touched by no suite of its policy
    #[arg(long)]
    require_coverage: bool,
}

/// A suite that was run.
struct Ran {
    suite: String,
    policy: String,
    report: Report,
}

pub(super) fn run(args: &TestArgs, output: &Output) -> Result<Exit, Failure> {
    let given = args.policy.as_deref().map(|file| read_file(file, DOCUMENT_BYTES_MAX)).transpose()?;
    let ran: Vec<Ran> = args
        .suites
        .iter()
        .map(|suite| run_one(suite, args.policy.as_deref().zip(given.as_deref())))
        .collect::<Result<_, _>>()?;
    if let Some(file) = &args.junit {
        write_junit(file, &ran)?;
    }
    match output.format() {
        Format::Table => output.text(&told(&ran, output.coloured()))?,
        Format::Json | Format::Jsonl => output.json_list("suites", ran.iter().map(shown).collect())?,
    }
    let is_good = ran.iter().all(|ran| {
        let is_covered = ran.untouched() == 0 || !args.require_coverage;
        ran.failed() == 0 && is_covered
    });
    Ok(if is_good { Exit::Ok } else { Exit::Unexpected })
}

/// Runs a suite on the policy that is given with its name, or on the one that the suite names.
fn run_one(path: &str, given: Option<(&str, &str)>) -> Result<Ran, Failure> {
    let faulty = |what: &str, path: &str, faults: Vec<_>| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let mut failure =
            Failure::new(Exit::InvalidArgument, format!("the {what} `{}` is not valid", text::escaped(path)));
        failure.details = faults;
        failure
    };
    let suite = Suite::parse(&read_file(path, DOCUMENT_BYTES_MAX)?)
        .map_err(|faults| faulty("suite", path, faults))?;
    let (policy, document) = match (given, &suite.policy) {
        (Some((name, document)), _) => (name.to_owned(), document.to_owned()),
        (None, Some(named)) => {
            let policy = beside(path, named);
            let document = read_file(&policy, DOCUMENT_BYTES_MAX)?;
            (policy, document)
        }
        (None, None) => {
            let message = format!("the suite `{}` names no policy", text::escaped(path));
            return Err(Failure::new(Exit::Usage, message)
                .advise("add a line `policy: FILE` to it, or give `--policy`"));
        }
    };
    let tested = suite.policy(&document).map_err(|faults| faulty("policy", &policy, faults))?;
    Ok(Ran { suite: path.to_owned(), policy, report: suite.run(&tested) })
}

/// A path that a file names, seen from where the file lies.
fn beside(file: &str, named: &str) -> String {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    folder.join(named).display().to_string()
}

impl Ran {
    fn failed(&self) -> usize {
        self.report.outcomes.iter().filter(|outcome| !outcome.passed).count()
    }

    fn untouched(&self) -> usize {
        let Coverage { untouched_permissions, untouched_rules, .. } = &self.report.coverage;
        untouched_permissions.len() + untouched_rules.len()
    }
}

fn told(ran: &[Ran], coloured: bool) -> String {
    let mut told = String::new();
    for one in ran {
        let (suite, policy) = (text::escaped(&one.suite), text::escaped(&one.policy));
        let failed = one.failed();
        let count = one.report.outcomes.len();
        let word = if failed == 0 {
            paint("ok", Tone::Good, coloured)
        } else {
            paint("FAILED", Tone::Bad, coloured)
        };
        // Writing to a string can't fail.
        let _ =
            writeln!(told, "{word}  {suite} on {policy}: {} of {count} answers as expected", count - failed);
        for outcome in one.report.outcomes.iter().filter(|outcome| !outcome.passed) {
            let _ = writeln!(told, "  {}", line(outcome));
        }
        let Coverage { permissions, untouched_permissions, rules, untouched_rules } = &one.report.coverage;
        let lines = [
            (
                "permissions",
                permissions,
                untouched_permissions.iter().map(|name| text::escaped(name)).collect(),
            ),
            (
                "rules",
                rules,
                untouched_rules
                    .iter()
                    .map(|(rule, line)| format!("{} (line {line})", text::escaped(rule)))
                    .collect::<Vec<_>>(),
            ),
        ];
        for (what, all, untouched) in lines {
            let _ = writeln!(told, "  {} of {all} {what} touched", all - untouched.len());
            for one in untouched {
                let _ = writeln!(told, "    untested: {one}");
            }
        }
    }
    told
}

/// An answer that isn't as expected.
fn line(outcome: &Outcome) -> String {
    let Outcome { test, user, call, line, expected, answered, .. } = outcome;
    let (test, user, call) = (text::escaped(test), text::escaped(user), text::escaped(call));
    format!("line {line}: {test}: {user}, {call}: expected {expected}, answered {answered}")
}

fn shown(ran: &Ran) -> Value {
    let outcome = |outcome: &Outcome| {
        json!({
            "test": outcome.test,
            "user": outcome.user.as_str(),
            "call": &*outcome.call,
            "line": outcome.line,
            "expected": outcome.expected,
            "answered": outcome.answered,
            "passed": outcome.passed,
        })
    };
    let coverage = &ran.report.coverage;
    let rules = coverage.untouched_rules.iter();
    json!({
        "suite": ran.suite,
        "policy": ran.policy,
        "failed": ran.failed(),
        "outcomes": ran.report.outcomes.iter().map(outcome).collect::<Vec<_>>(),
        "permissions": coverage.permissions,
        "untouched_permissions": coverage.untouched_permissions,
        "rules": coverage.rules,
        "untouched_rules": rules.map(|(rule, line)| json!({ "rule": &**rule, "line": line })).collect::<Vec<_>>(),
    })
}

fn write_junit(path: &Path, ran: &[Ran]) -> Result<(), Failure> {
    let mut report = quick_junit::Report::new("callgate policy test");
    report.add_test_suites(ran.iter().map(junit_suite));
    let problem = |cause: String| {
        let path = text::escaped(&path.display().to_string());
        Failure::new(Exit::Failure, format!("can't write the report to `{path}`: {cause}"))
    };
    let xml = report.to_string().map_err(|error| problem(error.to_string()))?;
    fs::write(path, xml).map_err(|error| problem(error.to_string()))
}

fn junit_suite(ran: &Ran) -> TestSuite {
    let mut suite = TestSuite::new(ran.suite.as_str());
    for outcome in &ran.report.outcomes {
        let status = if outcome.passed {
            TestCaseStatus::success()
        } else {
            let mut failure = TestCaseStatus::non_success(NonSuccessKind::Failure);
            failure.set_message(line(outcome));
            failure
        };
        let mut case = TestCase::new(format!("{}: {}", outcome.user, outcome.call), status);
        case.set_classname(outcome.test.as_str());
        suite.add_test_case(case);
    }
    suite
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_looked_for_beside_its_suite() {
        assert_eq!(beside("suites/a.yaml", "../policy.yaml"), "suites/../policy.yaml");
        assert_eq!(beside("a.yaml", "policy.yaml"), "policy.yaml");
    }
}
