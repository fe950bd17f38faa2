use proptest::{collection::vec, prelude::*, sample::select};

use super::{edit::Edit, edit::EditFault, *};
use crate::domain::policy::{Policy, document::Document};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn membership() -> impl Strategy<Value = Membership> {
    let one = || select(&NAMES[..]).prop_map(name);
    prop_oneof![
        (one(), one()).prop_map(|(user, department)| Membership::Department { user, department }),
        (one(), one()).prop_map(|(user, role)| Membership::UserRole { user, role }),
        (one(), one()).prop_map(|(department, role)| Membership::DepartmentRole { department, role }),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let one = || select(&NAMES[..]).prop_map(name);
    let kind = select(&UserKind::ALL[..]);
    prop_oneof![
        (one(), kind, any::<bool>()).prop_map(|(user, kind, enabled)| Change::User { user, kind, enabled }),
        one().prop_map(Change::NoUser),
        (one(), prop::option::of(one()))
            .prop_map(|(department, parent)| Change::Department { department, parent }),
        one().prop_map(Change::NoDepartment),
        membership().prop_map(Change::Belongs),
        membership().prop_map(Change::BelongsNot),
    ]
}

/// What a directory says of everybody, worked out by looking at everything.
fn holders_by_looking<'a>(directory: &'a Directory, role: &str) -> BTreeSet<&'a Name> {
    let holds = |person: &Person| {
        person.roles.contains(role)
            || person
                .departments
                .iter()
                .any(|own| directory.lineage(own).any(|(_, above)| above.roles.contains(role)))
    };
    directory.users().filter(|(_, person)| holds(person)).map(|(name, _)| name).collect()
}

fn members_by_looking<'a>(directory: &'a Directory, department: &str) -> BTreeSet<&'a Name> {
    let is_in = |person: &Person| {
        let lineage = person.departments.iter().flat_map(|own| directory.lineage(own));
        lineage.into_iter().any(|(above, _)| above.as_str() == department)
    };
    directory.users().filter(|(_, person)| is_in(person)).map(|(name, _)| name).collect()
}

/// Whether some department is above itself: what edits never make.
fn has_circle(directory: &Directory) -> bool {
    directory.departments().any(|(name, _)| directory.lineage(name).skip(1).any(|(above, _)| above == name))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_follows_from_a_directory_is_what_looking_at_everything_finds(changes in vec(change(), 0..40)) {
        let directory = Directory::default().with(&changes);
        prop_assume!(!has_circle(&directory));
        for text in NAMES {
            prop_assert_eq!(directory.holders(text), holders_by_looking(&directory, text), "holders of {}", text);
            prop_assert_eq!(directory.members(text), members_by_looking(&directory, text), "members of {}", text);
            for user in NAMES {
                let is_one = directory.has_holder(text, |holder| holder.as_str() == user);
                prop_assert_eq!(is_one, directory.holders(text).iter().any(|name| name.as_str() == user), "{} holds {}", user, text);
            }
        }
    }

    #[test]
    fn the_changes_from_one_directory_to_another_lead_there(
        before in vec(change(), 0..30), after in vec(change(), 0..30)
    ) {
        let (before, after) = (Directory::default().with(&before), Directory::default().with(&after));
        let changes = before.changes_to(&after);
        let there = before.with(&changes);
        prop_assert!(there.changes_to(&after).is_empty(), "{:?}", there.changes_to(&after));
        prop_assert_eq!(changes.is_empty(), before == after);
        for text in NAMES {
            prop_assert_eq!(there.holders(text), after.holders(text));
            prop_assert_eq!(there.members(text), after.members(text));
        }
    }
}

/// `root` may change the policy; engineering is above platform; `ann` is in platform.
fn policy() -> Policy {
    let document = Document::parse(
        "tenant: t
stages: [{ name: s, sensitivities: [HIGH, CRITICAL], users: [keeper], departments: [board] }]
users: { root: { roles: [root] }, ann: {}, keeper: {} }
departments:
  board: {}
  guards: {}
  engineering: { roles: [maker] }
  platform: { parent: engineering, members: [ann] }
roles:
  root: { permissions: [{ effect: ALLOW, code: USE, resources: [callgate.*] }] }
  maker: { permissions: [{ effect: ALLOW, code: EXECUTE, resources: [tool.*] }] }
tools: [{ server: fs, names: [open], sensitivity: LOW }]
rules:
  - name: watch
    tools: [{ server: fs, names: [open] }]
    when: { none: [{ subject: { departments: [guards] } }] }
    effect: DENY
    message: only guards open
",
    )
    .unwrap();
    Policy::compile(&document, 1)
}

fn fault(edit: Edit) -> EditFault {
    policy().edited(&[edit]).unwrap_err().1
}

#[test]
fn an_edit_that_would_break_something_is_refused_with_what() {
    let place = |department: &str, parent: &str| (name(department), Some(name(parent)));
    let (department, parent) = place("engineering", "platform");
    assert_eq!(fault(Edit::MoveDepartment { department, parent }), EditFault::Circle(name("engineering")));
    let (department, parent) = place("board", "board");
    assert_eq!(fault(Edit::MoveDepartment { department, parent }), EditFault::Circle(name("board")));
    let (department, parent) = place("new", "nowhere");
    assert_eq!(
        fault(Edit::AddDepartment { department, parent }),
        EditFault::UnknownDepartment(name("nowhere"))
    );
    assert_eq!(fault(Edit::RemoveDepartment(name("engineering"))), EditFault::NotEmpty(name("engineering")));
    let named = |text: &str| EditFault::Named { by: "the stage `s`".into(), name: name(text) };
    assert_eq!(fault(Edit::RemoveDepartment(name("board"))), named("board"));
    assert_eq!(fault(Edit::RemoveUser(name("keeper"))), named("keeper"));
    let by_rule = EditFault::Named { by: "the rule `watch`".into(), name: name("guards") };
    assert_eq!(fault(Edit::RemoveDepartment(name("guards"))), by_rule);
    assert_eq!(fault(Edit::RemoveUser(name("nobody"))), EditFault::UnknownUser(name("nobody")));
    let update = Edit::UpdateUser { user: name("nobody"), kind: None, enabled: Some(false) };
    assert_eq!(fault(update), EditFault::UnknownUser(name("nobody")));
    let add = Edit::AddUser { user: name("ann"), kind: UserKind::Service, enabled: true };
    assert_eq!(fault(add), EditFault::Exists(name("ann")));
    let role = Membership::UserRole { user: name("ann"), role: name("king") };
    assert_eq!(fault(Edit::AddMembership(role)), EditFault::UnknownRole(name("king")));
}

#[test]
fn departments_nest_only_so_deep_however_they_are_moved() {
    let mut edits = vec![];
    for index in 0..DEPARTMENT_DEPTH_MAX {
        let parent = (index > 0).then(|| name(&format!("d{}", index - 1)));
        edits.push(Edit::AddDepartment { department: name(&format!("d{index}")), parent });
    }
    let policy = policy();
    assert_eq!(policy.edited(&edits).unwrap().len(), DEPARTMENT_DEPTH_MAX);
    let (top, low) = (name("d0"), name("board"));
    edits.push(Edit::MoveDepartment { department: top.clone(), parent: Some(low) });
    assert_eq!(policy.edited(&edits), Err((DEPARTMENT_DEPTH_MAX, EditFault::TooDeep(top))));
}

#[test]
fn who_is_removed_belongs_to_nothing_and_edits_that_undo_each_other_change_nothing() {
    let policy = policy();
    let changes = policy.edited(&[Edit::RemoveUser(name("ann"))]).unwrap();
    let membership = Membership::Department { user: name("ann"), department: name("platform") };
    assert_eq!(changes, [Change::BelongsNot(membership.clone()), Change::NoUser(name("ann"))]);
    let back = [
        Edit::RemoveUser(name("ann")),
        Edit::AddUser { user: name("ann"), kind: UserKind::Human, enabled: true },
        Edit::AddMembership(membership),
    ];
    assert_eq!(policy.edited(&back).unwrap(), []);
    let disabled = Edit::UpdateUser { user: name("ann"), kind: None, enabled: Some(false) };
    let changes = policy.edited(&[disabled]).unwrap();
    let after = policy.with_changes(&changes, 2);
    assert!(!after.user("ann").unwrap().is_enabled());
    assert!(after.user("ann").unwrap().has_role("maker"), "the memberships stay");
}

#[test]
fn a_change_of_a_department_reaches_users_who_were_asked_about_before() {
    let policy = policy();
    assert!(policy.user("ann").unwrap().has_role("maker"));
    let taken = Membership::DepartmentRole { department: name("engineering"), role: name("maker") };
    let after = policy.with_changes(&[Change::BelongsNot(taken)], 2);
    assert!(!after.user("ann").unwrap().has_role("maker"));
    let left = Membership::Department { user: name("ann"), department: name("platform") };
    let after = policy.with_changes(&[Change::BelongsNot(left)], 2);
    assert!(!after.user("ann").unwrap().has_role("maker"));
    assert!(policy.user("ann").unwrap().has_role("maker"), "the version before stays as it was");
}

#[test]
fn a_change_of_the_directory_shares_the_document_and_whomever_it_is_not_about() {
    let policy = policy();
    let person = |policy: &Policy, user: &str| std::ptr::from_ref(policy.directory().user(user).unwrap());
    let [ann, root] = ["ann", "root"].map(|user| policy.user(user).unwrap());
    let department = Membership::DepartmentRole { department: name("guards"), role: name("maker") };
    for (change, are_kept) in [
        (Change::User { user: name("root"), kind: UserKind::Human, enabled: false }, true),
        (Change::Belongs(Membership::UserRole { user: name("root"), role: name("maker") }), true),
        // A department concerns whoever is below it; who that is isn't looked for.
        (Change::Belongs(department), false),
    ] {
        let after = policy.with_changes(std::slice::from_ref(&change), 2);
        assert!(Arc::ptr_eq(&policy.rulebook, &after.rulebook), "{change}");
        assert!(std::ptr::eq(policy.endpoints(), after.endpoints()), "{change}");
        assert!(std::ptr::eq(policy.rules(), after.rules()), "{change}");
        assert!(std::ptr::eq(policy.tools(), after.tools()), "{change}");
        assert_eq!(person(&policy, "ann"), person(&after, "ann"), "{change}");
        assert_eq!(Arc::ptr_eq(&ann, &after.user("ann").unwrap()), are_kept, "{change}");
        assert!(!Arc::ptr_eq(&root, &after.user("root").unwrap()), "{change}");
        assert!(Arc::ptr_eq(&ann, &policy.user("ann").unwrap()), "the version before stays");
    }
}
