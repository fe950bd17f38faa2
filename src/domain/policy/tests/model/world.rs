//! A random organisation with its policy: as plain data, as a document, and as edits of its directory.

use std::{collections::BTreeSet, fmt::Write as _};

use proptest::{collection::vec, prelude::*, sample::select};

use crate::domain::{
    name::Name,
    policy::{
        directory::{Change, Directory, Membership, edit::Edit},
        document::UserKind,
    },
};

pub(super) const USERS: usize = 4;
pub(super) const DEPARTMENTS: usize = 4;
pub(super) const ROLES: usize = 4;

const RESOURCES: [&str; 7] = ["tool.*", "tool.read", "tool.re", "k.*", "k.a", "k.a.*", "z"];
const PATTERNS: [&str; 6] = ["read", "re*", "r*", "*", "re", "re.ad"];
const SERVERS: [&str; 4] = ["files", "fi*", "f*", "*"];
const CODES: [&str; 2] = ["EXECUTE", "VIEW"];
const SEGMENTS: [&str; 5] = ["a", "B", "é", "*", "{x}"];
pub(super) const SENSITIVITIES: [&str; 4] = ["LOW", "MEDIUM", "HIGH", "CRITICAL"];

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) relax: bool,
    pub(super) workflow: bool,
    pub(super) threshold: usize,
    /// By their numbers; none where there is nobody.
    pub(super) users: Vec<Option<Member>>,
    pub(super) departments: Vec<Option<Department>>,
    pub(super) roles: Vec<Role>,
    pub(super) tools: Vec<Tool>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) enabled: bool,
    pub(super) roles: BTreeSet<usize>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Department {
    pub(super) parent: Option<usize>,
    pub(super) members: BTreeSet<usize>,
    pub(super) roles: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Role {
    pub(super) administrator: bool,
    pub(super) permissions: Vec<Permission>,
}

#[derive(Debug, Clone)]
pub(super) struct Permission {
    pub(super) deny: bool,
    pub(super) code: &'static str,
    pub(super) resources: Vec<&'static str>,
}

#[derive(Debug, Clone)]
pub(super) struct Tool {
    pub(super) server: &'static str,
    pub(super) name: &'static str,
    pub(super) resource: Option<&'static str>,
    pub(super) code: &'static str,
    pub(super) sensitivity: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    /// None means every method.
    pub(super) methods: Vec<&'static str>,
    pub(super) segments: Vec<&'static str>,
    /// Whether `**` follows.
    pub(super) open: bool,
    /// Resource and code.
    pub(super) requires: Vec<(&'static str, &'static str)>,
    pub(super) shadow: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) about: About,
    pub(super) when: When,
    /// The sensitivity that it raises to; none denies.
    pub(super) raise: Option<usize>,
    pub(super) shadow: bool,
}

#[derive(Debug, Clone)]
pub(super) enum About {
    /// The server's and the tool's pattern.
    Tools(&'static str, &'static str),
    /// The numbers of entries.
    Endpoints(Vec<usize>),
}

#[derive(Debug, Clone)]
pub(super) enum When {
    All(Vec<When>),
    Any(Vec<When>),
    None(Vec<When>),
    /// The field equals that, or may be missing where it is optional.
    Equals(&'static str, Operand, bool),
    Role(usize),
    Department(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Operand {
    Number(u8),
    Text(&'static str),
    User,
}

/// Something that somebody may want changed; it may also be nothing that can be done.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    Enable(usize, bool),
    AddUser(usize, bool),
    RemoveUser(usize),
    AddDepartment(usize, Option<usize>),
    Move(usize, Option<usize>),
    RemoveDepartment(usize),
    Member(usize, usize, bool),
    UserRole(usize, usize, bool),
    DepartmentRole(usize, usize, bool),
}

fn numbers(below: usize, most: usize) -> impl Strategy<Value = BTreeSet<usize>> {
    vec(0..below, 0..=most).prop_map(|numbers| numbers.into_iter().collect())
}

fn role() -> impl Strategy<Value = Role> {
    let permission = (prop::bool::weighted(0.3), select(&CODES[..]), vec(select(&RESOURCES[..]), 1..3))
        .prop_map(|(deny, code, resources)| Permission { deny, code, resources });
    (prop::bool::weighted(0.3), vec(permission, 0..5))
        .prop_map(|(administrator, permissions)| Role { administrator, permissions })
}

fn tools() -> impl Strategy<Value = Vec<Tool>> {
    let resource = prop::option::weighted(0.4, select(&["k.a", "k.a.b", "tool.re", "z"][..]));
    let tool =
        (select(&SERVERS[..]), select(&PATTERNS[..]), resource, select(&CODES[..]), 0..4_usize).prop_map(
            |(server, name, resource, code, sensitivity)| Tool { server, name, resource, code, sensitivity },
        );
    vec(tool, 0..6).prop_map(|mut tools| {
        let mut seen = BTreeSet::new();
        tools.retain(|tool| seen.insert((tool.server, tool.name)));
        tools
    })
}

fn endpoints() -> impl Strategy<Value = Vec<Endpoint>> {
    let segments = vec(select(&SEGMENTS[..]), 0..3).prop_map(|mut segments| {
        // A name captures once.
        let mut seen = false;
        segments.retain(|segment| *segment != "{x}" || !std::mem::replace(&mut seen, true));
        segments
    });
    let methods = select(vec![vec![], vec!["GET"], vec!["HEAD"], vec!["POST"], vec!["GET", "POST"]]);
    let requires = vec((select(&["k.a", "k.a.b", "z", "tool.re"][..]), select(&CODES[..])), 1..3);
    let entry = (methods, segments, any::<bool>(), requires, prop::bool::weighted(0.25)).prop_map(
        |(methods, segments, open, mut requires, shadow)| {
            requires.dedup();
            Endpoint { methods, segments, open, requires, shadow }
        },
    );
    vec(entry, 0..6).prop_map(|mut entries| {
        // No two that mean the same.
        let mut seen = BTreeSet::new();
        entries.retain(|entry| {
            let shape: Vec<_> = entry.segments.iter().map(|one| one.replace("{x}", "*")).collect();
            let methods = if entry.methods.is_empty() { vec!["*"] } else { entry.methods.clone() };
            let meanings: Vec<_> =
                methods.into_iter().map(|method| (shape.clone(), entry.open, method, entry.shadow)).collect();
            let is_new = !meanings.iter().any(|meaning| seen.contains(meaning));
            seen.extend(meanings);
            is_new
        });
        entries
    })
}

fn when(fields: &'static [&'static str]) -> impl Strategy<Value = When> {
    let operand = prop_oneof![
        (1..3_u8).prop_map(Operand::Number),
        select(&["t", "a", "GET"][..]).prop_map(Operand::Text),
        Just(Operand::User),
    ];
    let leaf = prop_oneof![
        6 => (select(fields), operand, any::<bool>())
            .prop_map(|(at, operand, optional)| When::Equals(at, operand, optional)),
        1 => (0..ROLES).prop_map(When::Role),
        1 => (0..DEPARTMENTS).prop_map(When::Department),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 1..4).prop_map(When::All),
            vec(inner.clone(), 1..4).prop_map(When::Any),
            vec(inner, 1..4).prop_map(When::None),
        ]
    })
}

/// Rules about tools and endpoints that are there, by their places among them.
fn rules() -> impl Strategy<Value = Vec<(usize, Rule)>> {
    let effect = || prop::bool::weighted(0.2);
    let of_tools = (when(&["/x", "/y"]), prop::option::of(1..4_usize), any::<bool>(), effect()).prop_map(
        |(when, raise, wide, shadow)| {
            // Which tools, is known when they are.
            let about = if wide { About::Tools("*", "*") } else { About::Tools("", "") };
            Rule { about, when, raise, shadow }
        },
    );
    let of_endpoints = (when(&["/segments/x", "/method", "/attributes/x"]), effect())
        .prop_map(|(when, shadow)| Rule { about: About::Endpoints(vec![]), when, raise: None, shadow });
    vec((any::<usize>(), prop_oneof![of_tools, of_endpoints]), 0..4)
}

fn with_targets(rules: Vec<(usize, Rule)>, tools: &[Tool], endpoints: &[Endpoint]) -> Vec<Rule> {
    let targeted = |(pick, mut rule): (usize, Rule)| {
        match &mut rule.about {
            About::Tools(server, name) => {
                let tool = tools.get(pick.checked_rem(tools.len())?)?;
                if server.is_empty() {
                    (*server, *name) = (tool.server, tool.name);
                }
            }
            About::Endpoints(numbers) => {
                let first = pick.checked_rem(endpoints.len())?;
                *numbers = (first..endpoints.len()).take(1 + pick % 2).collect();
            }
        }
        Some(rule)
    };
    rules.into_iter().filter_map(targeted).collect()
}

pub(super) fn world() -> impl Strategy<Value = World> {
    let member = (prop::bool::weighted(0.9), numbers(ROLES, 2))
        .prop_map(|(enabled, roles)| Some(Member { enabled, roles }));
    let department = (prop::option::of(0..DEPARTMENTS), numbers(USERS, 2), numbers(ROLES, 1))
        .prop_map(|(parent, members, roles)| Department { parent, members, roles });
    let directory = (vec(member, USERS), vec(department, DEPARTMENTS));
    let document = (vec(role(), ROLES), tools(), endpoints(), rules());
    (any::<bool>(), any::<bool>(), 0..4_usize, directory, document).prop_map(
        |(relax, workflow, threshold, (users, mut departments), (roles, tools, endpoints, rules))| {
            for (number, department) in departments.iter_mut().enumerate() {
                department.parent = department.parent.filter(|parent| *parent < number);
            }
            let departments = departments.into_iter().map(Some).collect();
            let rules = with_targets(rules, &tools, &endpoints);
            World { relax, workflow, threshold, users, departments, roles, tools, endpoints, rules }
        },
    )
}

pub(super) fn wish() -> impl Strategy<Value = Wish> {
    let (user, department, role) = (|| 0..USERS, || 0..DEPARTMENTS, || 0..ROLES);
    let parent = || prop::option::of(0..DEPARTMENTS);
    prop_oneof![
        1 => (user(), any::<bool>()).prop_map(|(user, enabled)| Wish::Enable(user, enabled)),
        1 => (user(), any::<bool>()).prop_map(|(user, enabled)| Wish::AddUser(user, enabled)),
        1 => user().prop_map(Wish::RemoveUser),
        1 => (department(), parent()).prop_map(|(department, parent)| Wish::AddDepartment(department, parent)),
        1 => (department(), parent()).prop_map(|(department, parent)| Wish::Move(department, parent)),
        1 => department().prop_map(Wish::RemoveDepartment),
        3 => (user(), department(), any::<bool>()).prop_map(|(user, of, is)| Wish::Member(user, of, is)),
        2 => (user(), role(), any::<bool>()).prop_map(|(user, role, is)| Wish::UserRole(user, role, is)),
        2 => (department(), role(), any::<bool>()).prop_map(|(of, role, is)| Wish::DepartmentRole(of, role, is)),
    ]
}

fn name(letter: char, number: usize) -> Name {
    Name::new(&format!("{letter}{number}")).unwrap()
}

fn put(numbers: &mut BTreeSet<usize>, number: usize, is: bool) {
    if is {
        numbers.insert(number);
    } else {
        numbers.remove(&number);
    }
}

fn link(membership: Membership, is: bool) -> Edit {
    if is { Edit::AddMembership(membership) } else { Edit::RemoveMembership(membership) }
}

impl World {
    /// Whether a department is this one or stands below it.
    fn is_below(&self, department: usize, above: usize) -> bool {
        let mut next = Some(department);
        while let Some(here) = next {
            if here == above {
                return true;
            }
            next = self.departments[here].as_ref().and_then(|found| found.parent);
        }
        false
    }

    /// Makes a wish true, and says what edit that is; nothing for one that can't be.
    pub(super) fn grant(&mut self, wish: &Wish) -> Option<Edit> {
        match *wish {
            Wish::Enable(user, enabled) => {
                self.users[user].as_mut()?.enabled = enabled;
                Some(Edit::UpdateUser { user: name('u', user), kind: None, enabled: Some(enabled) })
            }
            Wish::AddUser(user, enabled) => {
                if self.users[user].is_some() {
                    return None;
                }
                self.users[user] = Some(Member { enabled, roles: BTreeSet::new() });
                Some(Edit::AddUser { user: name('u', user), kind: UserKind::Human, enabled })
            }
            Wish::RemoveUser(user) => {
                self.users[user].take()?;
                for department in self.departments.iter_mut().flatten() {
                    department.members.remove(&user);
                }
                Some(Edit::RemoveUser(name('u', user)))
            }
            Wish::AddDepartment(..) | Wish::Move(..) | Wish::RemoveDepartment(_) => self.arrange(wish),
            Wish::Member(user, of, is) => {
                self.users[user].as_ref()?;
                put(&mut self.departments[of].as_mut()?.members, user, is);
                Some(link(Membership::Department { user: name('u', user), department: name('d', of) }, is))
            }
            Wish::UserRole(user, role, is) => {
                put(&mut self.users[user].as_mut()?.roles, role, is);
                Some(link(Membership::UserRole { user: name('u', user), role: name('r', role) }, is))
            }
            Wish::DepartmentRole(of, role, is) => {
                put(&mut self.departments[of].as_mut()?.roles, role, is);
                Some(link(
                    Membership::DepartmentRole { department: name('d', of), role: name('r', role) },
                    is,
                ))
            }
        }
    }

    fn arrange(&mut self, wish: &Wish) -> Option<Edit> {
        match *wish {
            Wish::AddDepartment(number, parent) => {
                let is_there = |number: usize| self.departments[number].is_some();
                if is_there(number) || parent.is_some_and(|parent| !is_there(parent)) {
                    return None;
                }
                self.departments[number] = Some(Department { parent, ..Department::default() });
                let parent = parent.map(|parent| name('d', parent));
                Some(Edit::AddDepartment { department: name('d', number), parent })
            }
            Wish::Move(number, parent) => {
                let is_good =
                    |parent: usize| self.departments[parent].is_some() && !self.is_below(parent, number);
                if parent.is_some_and(|parent| !is_good(parent)) {
                    return None;
                }
                self.departments[number].as_mut()?.parent = parent;
                let parent = parent.map(|parent| name('d', parent));
                Some(Edit::MoveDepartment { department: name('d', number), parent })
            }
            Wish::RemoveDepartment(number) => {
                if self.departments.iter().flatten().any(|other| other.parent == Some(number)) {
                    return None;
                }
                self.departments[number].take()?;
                Some(Edit::RemoveDepartment(name('d', number)))
            }
            _ => None,
        }
    }

    /// The directory, made of nothing.
    pub(super) fn directory(&self) -> Directory {
        let user = |user: &str, enabled| Change::User {
            user: Name::new(user).unwrap(),
            kind: UserKind::Human,
            enabled,
        };
        let keeper = Name::new("keeper").unwrap();
        let mut changes = vec![
            user("keeper", true),
            Change::Belongs(Membership::UserRole { user: keeper.clone(), role: keeper }),
        ];
        for (number, department) in self.departments.iter().enumerate() {
            let Some(Department { parent, roles, .. }) = department else { continue };
            let (department, parent) = (name('d', number), parent.map(|parent| name('d', parent)));
            changes.push(Change::Department { department: department.clone(), parent });
            changes.extend(roles.iter().map(|role| {
                let (department, role) = (department.clone(), name('r', *role));
                Change::Belongs(Membership::DepartmentRole { department, role })
            }));
        }
        for (number, found) in self.users.iter().enumerate() {
            let Some(Member { enabled, roles }) = found else { continue };
            changes.push(user(&format!("u{number}"), *enabled));
            changes.extend(roles.iter().map(|role| {
                Change::Belongs(Membership::UserRole { user: name('u', number), role: name('r', *role) })
            }));
        }
        for (number, department) in self.departments.iter().enumerate() {
            for user in department.iter().flat_map(|department| &department.members) {
                let (user, department) = (name('u', *user), name('d', number));
                changes.push(Change::Belongs(Membership::Department { user, department }));
            }
        }
        Directory::default().with(&changes)
    }

    /// The policy as people would write it.
    pub(super) fn yaml(&self) -> String {
        let mode = if self.relax { "RELAX" } else { "STRICT" };
        let (workflow, threshold) = (self.workflow, SENSITIVITIES[self.threshold]);
        let mut text = format!(
            "tenant: t\nmode: {mode}\nworkflow: {workflow}\nthreshold: {threshold}\n\
             stages: [{{ name: s, sensitivities: [LOW, MEDIUM, HIGH, CRITICAL], users: [keeper] }}]\n"
        );
        self.write_directory(&mut text);
        self.write_roles(&mut text);
        self.write_entries(&mut text);
        text.push_str(if self.rules.is_empty() { "" } else { "rules:\n" });
        for (number, rule) in self.rules.iter().enumerate() {
            let about = match &rule.about {
                About::Tools(server, name) => format!("tools: [{{ server: '{server}', names: ['{name}'] }}]"),
                About::Endpoints(numbers) => format!("endpoints: [{}]", names('e', numbers)),
            };
            let effect =
                rule.raise.map_or("effect: DENY".into(), |to| format!("raise: {}", SENSITIVITIES[to]));
            let (when, shadow) = (rule.when.json(), rule.shadow);
            writeln!(
                text,
                "  - {{ name: x{number}, {about}, when: {when}, {effect}, message: m{number}, shadow: {shadow} }}"
            )
            .unwrap();
        }
        text
    }

    fn write_directory(&self, text: &mut String) {
        text.push_str("users:\n  keeper: { roles: [keeper] }\n");
        for (number, user) in self.users.iter().enumerate() {
            let Some(Member { enabled, roles }) = user else { continue };
            writeln!(text, "  u{number}: {{ enabled: {enabled}, roles: [{}] }}", names('r', roles)).unwrap();
        }
        text.push_str("departments: {");
        for (number, department) in self.departments.iter().enumerate() {
            let Some(Department { parent, members, roles }) = department else { continue };
            let parent = parent.map(|parent| format!("parent: d{parent}, ")).unwrap_or_default();
            let (members, roles) = (names('u', members), names('r', roles));
            write!(text, "\n  d{number}: {{ {parent}members: [{members}], roles: [{roles}] }},").unwrap();
        }
        text.push_str("\n  }\n");
    }

    fn write_roles(&self, text: &mut String) {
        text.push_str(
            "roles:\n  keeper: { permissions: [{ effect: ALLOW, code: USE, resources: [callgate.*] }] }\n",
        );
        for (number, Role { administrator, permissions }) in self.roles.iter().enumerate() {
            write!(text, "  r{number}: {{ administrator: {administrator}, permissions: [").unwrap();
            for Permission { deny, code, resources } in permissions {
                let effect = if *deny { "DENY" } else { "ALLOW" };
                let resources = resources.join(", ");
                write!(text, "{{ effect: {effect}, code: {code}, resources: [{resources}] }}, ").unwrap();
            }
            text.push_str("] }\n");
        }
    }

    fn write_entries(&self, text: &mut String) {
        text.push_str(if self.tools.is_empty() { "" } else { "tools:\n" });
        for Tool { server, name, resource, code, sensitivity } in &self.tools {
            let key = resource.map(|key| format!(", resource: {key}")).unwrap_or_default();
            let sensitivity = SENSITIVITIES[*sensitivity];
            writeln!(
                text,
                "  - {{ server: '{server}', names: ['{name}'], code: {code}, sensitivity: {sensitivity}{key} }}"
            )
            .unwrap();
        }
        text.push_str(if self.endpoints.is_empty() { "" } else { "endpoints:\n" });
        for (number, Endpoint { methods, segments, open, requires, shadow }) in
            self.endpoints.iter().enumerate()
        {
            let methods = if methods.is_empty() { "'*'".into() } else { methods.join(", ") };
            let path = segments.iter().copied().chain(open.then_some("**")).collect::<Vec<_>>().join("/");
            let requires: Vec<String> =
                requires.iter().map(|(key, code)| format!("{{ resource: {key}, code: {code} }}")).collect();
            let requires = requires.join(", ");
            writeln!(
                text,
                "  - {{ name: e{number}, methods: [{methods}], path: '/{path}', requires: [{requires}], shadow: {shadow} }}"
            )
            .unwrap();
        }
    }
}

fn names<'a>(letter: char, numbers: impl IntoIterator<Item = &'a usize>) -> String {
    numbers.into_iter().map(|number| format!("{letter}{number}")).collect::<Vec<_>>().join(", ")
}

impl When {
    /// The condition in JSON, which is YAML too.
    fn json(&self) -> String {
        let of = |word: &str, of: &[Self]| {
            let parts: Vec<String> = of.iter().map(Self::json).collect();
            format!("{{ \"{word}\": [{}] }}", parts.join(", "))
        };
        match self {
            Self::All(parts) => of("all", parts),
            Self::Any(parts) => of("any", parts),
            Self::None(parts) => of("none", parts),
            Self::Equals(at, operand, optional) => {
                let operand = match operand {
                    Operand::Number(number) => number.to_string(),
                    Operand::Text(text) => format!("\"{text}\""),
                    Operand::User => "{ \"subject\": \"user\" }".into(),
                };
                format!("{{ \"at\": \"{at}\", \"equals\": {operand}, \"optional\": {optional} }}")
            }
            Self::Role(number) => format!("{{ \"subject\": {{ \"roles\": [\"r{number}\"] }} }}"),
            Self::Department(number) => format!("{{ \"subject\": {{ \"departments\": [\"d{number}\"] }} }}"),
        }
    }
}
