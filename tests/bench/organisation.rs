//! Large policies, the same each time: an organisation with its users, departments and permissions, and an API with
//! its endpoints.
//!
//! Departments nest: number 0 to 9 stand at the top and make their members developers; under each stand those of ten
//! times its number. Every user is in one department and holds one role beside it.

/// How large an organisation is.
#[derive(Debug, Clone, Copy)]
pub struct Organisation {
    /// Users besides those of the built-in policy.
    pub users: u32,
    /// Departments.
    pub departments: u32,
    /// Roles besides those of the built-in policy.
    pub roles: u32,
    /// Permissions of each of these roles, each of a resource of its own.
    pub permissions: u32,
}

impl Organisation {
    /// 100,000 users, 1,000 departments, 10,000 permissions.
    pub const LARGE: Self = Self { users: 100_000, departments: 1_000, roles: 500, permissions: 20 };

    /// A policy document with the roles in it.
    #[must_use]
    pub fn document(&self, document: &str) -> String {
        let roles: Vec<String> = (0..self.roles).map(|number| self.role_entry(number)).collect();
        document.replacen("\nroles:\n", &format!("\nroles:\n{}", roles.concat()), 1)
    }

    fn role_entry(&self, number: u32) -> String {
        let resources: Vec<String> =
            (0..self.permissions).map(|key| format!("app.area_{number}.item_{key}")).collect();
        let name = self.role(number);
        let resources = resources.join(", ");
        format!(
            "  {name}: {{ permissions: [{{ effect: ALLOW, code: EXECUTE, resources: [{resources}] }}] }}\n"
        )
    }

    /// The department that lists a user.
    #[must_use]
    pub fn department_of(&self, user: u32) -> String {
        department(user % self.departments)
    }

    /// The role that a user holds without a department.
    #[must_use]
    pub fn role_of(&self, user: u32) -> String {
        self.role(user.wrapping_mul(7))
    }

    /// The departments: name, parent, and the role that the members hold. Parents come before those below them.
    pub fn departments(&self) -> impl Iterator<Item = (String, Option<String>, String)> {
        let roles = *self;
        (0..self.departments).map(move |number| {
            let parent = (number >= 10).then(|| department(number / 10));
            let role = if number < 10 { "developer".to_owned() } else { roles.role(number) };
            (department(number), parent, role)
        })
    }

    fn role(&self, number: u32) -> String {
        format!("role_{:03}", number % self.roles)
    }
}

/// The name of a user.
#[must_use]
pub fn person(number: u32) -> String {
    format!("person_{number:06}")
}

fn department(number: u32) -> String {
    format!("unit_{number:04}")
}

/// A policy document with so many endpoint entries: ten for each kind of thing, some with captured segments. They are
/// written so that as many as there may be fit into as large a document as there may be.
#[must_use]
pub fn with_endpoints(document: &str, count: u32) -> String {
    let entry = |number: u32| {
        let thing = number / 10;
        let path = match number % 10 {
            0 => format!("/v1/t{thing}"),
            1 => format!("/v1/t{thing}/{{id}}"),
            2 => format!("/v1/t{thing}/*/parts/**"),
            part => format!("/v1/t{thing}/{{id}}/part_{part}"),
        };
        format!(
            "- {{methods: [GET], path: '{path}', requires: [{{resource: tool.git_log, code: EXECUTE}}]}}\n"
        )
    };
    let entries: Vec<String> = (0..count).map(entry).collect();
    format!("{document}\nendpoints:\n{}", entries.concat())
}
