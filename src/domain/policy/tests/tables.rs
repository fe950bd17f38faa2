//! The built-in policy, the scenarios' fixture and the published example, held against tables.

use super::documents::{compile, question};
use crate::domain::{
    name::Name,
    policy::{
        BUILTIN, Policy,
        eval::{Decision, VerdictReason, evaluate, permits},
        resource::{Code, speak_for_key},
    },
    sensitivity::Sensitivity,
};

const SCENARIOS: &str = include_str!("../../../../tests/golden/scenarios-policy.yaml");
const TWO_APPROVERS: &str = include_str!("../../../../docs/policies/two-approvers.yaml");

/// Sensitivity, then the tools; the original 21 come first in each line, those of the real servers after `|`.
const TOOLS: [(Sensitivity, &str); 4] = [
    (Sensitivity::Critical, "execute_python execute_bash"),
    (Sensitivity::High, "write_file git_commit web_automate switch_model | edit_file move_file git_reset"),
    (
        Sensitivity::Medium,
        "read_file git_diff git_add web_scrape notion_create_page web_to_notion | read_text_file \
         read_media_file read_multiple_files create_directory git_diff_unstaged git_diff_staged \
         git_create_branch git_checkout",
    ),
    (
        Sensitivity::Low,
        "list_files rag_search ai_chat git_status git_log web_screenshot web_analyze_ui notion_search \
         get_current_model | list_directory list_directory_with_sizes directory_tree search_files \
         get_file_info list_allowed_directories git_show git_branch get_current_time convert_time \
         mcp:resources/read mcp:prompts/get",
    ),
];
const GUEST: &str = "read_file list_files rag_search ai_chat git_status git_log git_diff";
const DEVELOPER: &str = "read_file list_files rag_search ai_chat git_status git_log git_diff write_file \
     execute_python execute_bash git_add web_screenshot web_scrape web_analyze_ui get_current_model";

fn original() -> Vec<&'static str> {
    TOOLS.iter().flat_map(|(_, tools)| tools.split('|').next().unwrap().split_whitespace()).collect()
}

fn of_servers() -> Vec<&'static str> {
    TOOLS.iter().flat_map(|(_, tools)| tools.split('|').nth(1).unwrap_or("").split_whitespace()).collect()
}

fn decision(policy: &Policy, user: &str, tool: &str) -> Decision {
    evaluate(policy, &question(user, "any", tool)).decision
}

fn sorted(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names
}

#[test]
fn the_built_in_policy_gives_each_role_its_tools() {
    let policy = compile(BUILTIN);
    assert_eq!(original().len(), 21);
    assert_eq!(policy.tools().len(), 21 + of_servers().len());
    for (user, expected, count) in [("guest_user", GUEST, 7), ("dev_user", DEVELOPER, 15), ("gate", "", 0)] {
        let open: Vec<_> =
            original().into_iter().filter(|tool| decision(&policy, user, tool) != Decision::Deny).collect();
        assert_eq!(open.len(), count, "{user}");
        assert_eq!(sorted(open), sorted(expected.split_whitespace().collect()), "{user}");
    }
    for tool in original().into_iter().chain(of_servers()) {
        assert_ne!(decision(&policy, "admin_user", tool), Decision::Deny, "{tool}");
    }
}

#[test]
fn the_built_in_policy_holds_what_is_high_or_critical() {
    let policy = compile(BUILTIN);
    for (sensitivity, tools) in TOOLS {
        for tool in tools.split_whitespace().filter(|tool| *tool != "|") {
            let verdict = evaluate(&policy, &question("admin_user", "any", tool));
            assert_eq!(verdict.sensitivity, sensitivity, "{tool}");
            let held = verdict.decision == Decision::ApprovalRequired;
            assert_eq!(held, sensitivity >= Sensitivity::High, "{tool}");
            assert_eq!(verdict.stages.len(), usize::from(held), "{tool}");
        }
    }
}

#[test]
fn the_built_in_policy_opens_the_real_servers_tools() {
    let policy = compile(BUILTIN);
    let closed = |user| {
        let denied = of_servers().into_iter().filter(|tool| decision(&policy, user, tool) == Decision::Deny);
        sorted(denied.collect())
    };
    assert_eq!(closed("dev_user"), ["git_reset"]);
    assert_eq!(
        closed("guest_user"),
        sorted(vec![
            "edit_file",
            "move_file",
            "git_reset",
            "create_directory",
            "git_create_branch",
            "git_checkout",
            "mcp:resources/read",
            "mcp:prompts/get",
        ])
    );
}

#[test]
fn the_built_in_roles_hold_their_own_rpcs() {
    let text = BUILTIN.replace(
        "users:\n",
        "users:\n  some_approver: { roles: [approver] }\n  some_auditor: { roles: [auditor] }\n",
    );
    let policy = compile(&text);
    // The holders of each right, out of: guest, developer, gate, approver, auditor, admin.
    let users = ["guest_user", "dev_user", "gate", "some_approver", "some_auditor", "admin_user"];
    for (right, expected) in [
        ("GateService.AuthorizeTool", "..g..."),
        ("GateService.RequestApproval", "..g..."),
        ("GateService.ReportOutcome", "..g..."),
        ("GateService.AuthorizeEndpoint", "..g..a"),
        ("GateService.CancelApproval", "gdgaua"),
        ("ReviewService.GetApproval", "gd.aua"),
        ("ReviewService.ListApprovals", "gd.aua"),
        ("ReviewService.Decide", "...a.a"),
        ("ReviewService.RevokeGrant", "...a.a"),
        ("AuditService.AuditQuery", "....ua"),
        ("PolicyService.GetPolicy", "....ua"),
        ("PolicyService.ListPolicyVersions", "....ua"),
        ("PolicyService.ExplainDecision", "...aua"),
        ("PolicyService.ApplyPolicy", ".....a"),
        ("CredentialService.CreateToken", ".....a"),
        ("TenantService.CreateTenant", ".....a"),
        ("TenantService.UpdateTenant", ".....a"),
        ("approvals.read_all", "....ua"),
        ("tenants", ".....a"),
        ("speak_for.dev_user", "..g..."),
    ] {
        let key = format!("callgate.{right}");
        for (user, mark) in users.into_iter().zip(expected.chars()) {
            let granted = permits(&policy, user, &key, Code::Use).is_granted();
            assert_eq!(granted, mark != '.', "{user} {right}");
        }
    }
    assert!(permits(&policy, "gate", &speak_for_key("a.b"), Code::Use).is_granted());
}

#[test]
fn nobody_else_can_approve_what_the_only_admin_asks_for() {
    let policy = compile(BUILTIN);
    let stages = policy.stages_for(Sensitivity::High);
    let eligible: Vec<_> = policy.eligible_users(&stages[0]).into_iter().map(Name::as_str).collect();
    assert_eq!(eligible, ["admin_user"]);
}

#[test]
fn the_fixture_follows_the_text_of_the_scenarios() {
    let policy = compile(SCENARIOS);
    let ask = |user, tool| evaluate(&policy, &question(user, "any", tool));
    assert_eq!(ask("dev_user", "execute_python").sensitivity, Sensitivity::High);
    for user in ["dev_user", "dev_user2", "dev_user3", "dev_user4", "dev_user5"] {
        assert_eq!(ask(user, "execute_python").decision, Decision::ApprovalRequired, "{user}");
    }
    let commit = ask("guest_user", "git_commit");
    assert_eq!((commit.decision, commit.sensitivity), (Decision::ApprovalRequired, Sensitivity::Critical));
    assert!(policy.eligible("approver_user", &commit.stages[0]));
    assert!(policy.eligible("admin_user", &commit.stages[0]));
    assert!(!policy.eligible("dev_user", &commit.stages[0]));
    assert_eq!(ask("guest_user", "execute_python").reason, VerdictReason::PermissionMissing);
}

#[test]
fn the_example_asks_two_approvers_for_what_is_critical() {
    let policy = compile(TWO_APPROVERS);
    let ask = |server, tool| evaluate(&policy, &question("dana", server, tool));
    let reset = ask("git", "git_reset");
    assert_eq!(reset.decision, Decision::ApprovalRequired);
    assert_eq!(reset.stages.iter().map(|stage| stage.count).collect::<Vec<_>>(), [2]);
    assert_eq!(ask("shell", "anything").sensitivity, Sensitivity::Critical);
    assert_eq!(ask("filesystem", "write_file").stages[0].count, 1);
    assert_eq!(ask("filesystem", "list_directory").decision, Decision::Allow);
    assert_eq!(ask("other", "list_directory").reason, VerdictReason::UnknownTool);
    assert_eq!(policy.eligible_users(&reset.stages[0]).len(), 3);
}
