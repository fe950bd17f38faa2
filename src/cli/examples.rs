//! The examples under the help text of each command.

/// Of `serve`.
pub const SERVE: &str = "\
Examples:
  callgate serve
  callgate serve --data-dir /var/lib/callgate --listen 127.0.0.1:50051
  callgate serve --policy policy.yaml

Every setting is a flag, a variable and a key of the file that --config names,
in this order.

The first start writes the credentials of `gate` and `admin_user` into the data
directory. Whoever can read that folder can use them: run agents as another OS
user.";

/// Of `sidecar`.
pub const SIDECAR: &str = "\
Examples:
  callgate sidecar --server-name fs --user dev_user -- \\
    npx -y @modelcontextprotocol/server-filesystem ./notes

Put this line where an MCP client expects the command of the server.";

/// Of `tenant`.
pub const TENANT: &str = "\
Examples:
  callgate tenant create acme --data-dir /var/lib/callgate
  callgate tenant create acme --policy acme.yaml
  callgate tenant create acme --online --out acme.token
  callgate tenant disable acme
  callgate tenant list";

/// Of `approvals`.
pub const APPROVALS: &str = "\
Examples:
  callgate approvals list --mine
  callgate approvals show 3f9a1c22
  callgate approvals approve 3f9a1c22 --reason 'looked at it'
  callgate approvals reject 3f9a1c22 --reason 'not on a Friday'
  callgate approvals grants
  callgate approvals review --continuous
  callgate approvals watch --mine

A CRITICAL action is approved only when you type the beginning of its digest, or
pass it with --digest.

`review` is for people, on a screen; `?` shows its keys. `watch` is for scripts:
JSON lines with the fields event, time, approval, message. First PENDING for each
one that is, then LISTED; then OPENED, JOINED, VOTED, CHANGED, APPROVED, REJECTED,
EXPIRED, CANCELLED, LEFT (not in the list any more, but not known to have ended),
DISCONNECTED, RECONNECTED. What opens and ends between two questions isn't told.";

/// Of `request`.
pub const REQUEST: &str = "\
Examples:
  callgate request --user dev_user --tool write_file --args '{\"path\":\"a\"}' --wait
  callgate request --user dev_user --server fs --tool write_file \\
    --args @call.json --timeout 90s --wait

Exits with 0 when the call may run. When it may not:
  3 (a human rejected it), 4 (nobody decided in time), 5 (it was taken back),
  6 (denied), 7 (humans have to decide: without --wait, or after Ctrl-C)

Where humans have to decide, an approval is opened, or the pending one for the
same call is joined; without --wait its id is written. Ctrl-C leaves it open.
Run the call at once: an ALLOW is for now.";

/// Of `check`.
pub const CHECK: &str = "\
Examples:
  callgate check --user dev_user --tool write_file
  callgate check --user dev_user --server git --tool git_commit --output json

Exits with 0 whatever the decision is.";

/// Of `endpoint`.
pub const ENDPOINT: &str = "\
Examples:
  callgate endpoint authorize --user dev_user --method GET --path /api/admin/users
  callgate endpoint authorize --user dev_user --method PATCH --path /users/7 \\
    --attributes '{\"owner\":\"dev_user\"}' --output json

  callgate endpoint explain --user dev_user --method GET --path /api/admin/users

`authorize` asks as an enforcement point does, with the credential of `gate`, and is
recorded. It exits with 0 when the request may be served, and with 6 when it may not.
`explain` is for admins: it says why, changes nothing, and exits with 0.";

/// Of `audit`.
pub const AUDIT: &str = "\
Examples:
  callgate audit query --since 2h --decision deny
  callgate audit query --kind VOTE_CAST --actor alice --output jsonl
  callgate audit checkpoint > /elsewhere/callgate.checkpoint
  callgate audit verify --checkpoints /elsewhere/callgate.checkpoint
  callgate audit verify --offline --data-dir /var/lib/callgate --checkpoints /elsewhere/callgate.log

With --offline no server is asked: the database is read, beside a running server
or without one, and compared with every checkpoint that is stored in it and every
one that is found in the files. Exits with 10 when it is not as it was written,
18 when a file has no checkpoint of this log.";

/// Of `token`.
pub const TOKEN: &str = "\
Examples:
  callgate token create --user alice --description 'laptop' --expires 90d --out alice.token
  callgate token create --user gate --speaks-for dev_user --server fs
  callgate token list --user alice
  callgate token revoke 6b1f0f6e-0d5c-4a53-9d0c-3a1f5d6c7b8a
  callgate token recover --data-dir /var/lib/callgate";

/// Of `token recover`.
pub const TOKEN_RECOVER: &str = "\
Examples:
  callgate token recover --data-dir /var/lib/callgate
  callgate token recover --user admin_user --revoke-others

Run it as the operating-system user of the server, with every server on the data
directory stopped. The secret goes into a new file there, for its owner alone;
the record says that it was done offline.";

/// Of `policy`.
pub const POLICY: &str = "\
Examples:
  callgate policy get > policy.yaml
  callgate policy apply -f policy.yaml --dry-run
  callgate policy apply -f policy.yaml --expected-version 3 --yes
  callgate policy versions
  callgate policy diff 2 3
  callgate policy rollback 2 --dry-run
  callgate policy test policy.suite.yaml
  callgate policy simulate -f policy.yaml --since 7d
  callgate policy schema > policy.schema.json
  callgate policy explain --user dev_user --tool write_file --draft policy.yaml";

/// Of `policy test`.
pub const POLICY_TEST: &str = "\
Examples:
  callgate policy test policy.suite.yaml
  callgate policy test policy.suite.yaml --policy draft.yaml
  callgate policy test suites/*.yaml --junit report.xml --require-coverage

A suite names its policy, calls, and rows of users with the answer that each must
get to each call; docs/POLICY.md explains it. Exits with 20 when an answer is not
as expected, and with --require-coverage when a permission or rule is untested.";

/// Of `user`.
pub const USER: &str = "\
Examples:
  callgate user list --role approver
  callgate user add ann --role developer
  callgate user disable ann
  callgate user grant ann approver";

/// Of `department`.
pub const DEPARTMENT: &str = "\
Examples:
  callgate department list
  callgate department add payments --parent engineering
  callgate department add-member payments ann
  callgate department grant payments developer";

/// Of `health`.
pub const HEALTH: &str = "\
Examples:
  callgate health
  callgate health --address 127.0.0.1:50052 --service liveness

Writes SERVING and exits with 0, or NOT_SERVING with 14.";

/// Of `backup`.
pub const BACKUP: &str = "\
Examples:
  callgate backup --to /backup/callgate-monday.db --data-dir /var/lib/callgate

The copy is checked. The key is not in it: keep callgate.key too, somewhere else.
To restore: stop every server, and put the copy as callgate.db and the key as
callgate.key, both with mode 0600, into an empty folder with mode 0700. Look at
it with `callgate doctor --deep`, then start a server on it. What was revoked
after the copy was made is not revoked in it: revoke it again.";

/// Of `doctor`.
pub const DOCTOR: &str = "\
Examples:
  callgate doctor --data-dir /var/lib/callgate
  callgate doctor --address callgate.example.com:50051 --token-file alice.token
  callgate doctor --json | jq -r '.findings[] | select(.level == \"FAIL\") | .check'
  callgate doctor --deep

Run it as the operating-system user of the server. It may run beside a server.
Exits with 19 when something fails, and with 0 when nothing does.";

/// Of `clock accept`.
pub const CLOCK_ACCEPT: &str = "\
Examples:
  callgate clock accept --data-dir /var/lib/callgate
  callgate clock accept --data-dir /var/lib/callgate --yes

For a wall clock that had jumped ahead and was set right again: the server isn't
ready before it has caught up with the time that it had seen. Where that is too
long to wait, stop every server on the data directory, and accept the clock.";

/// Of `completion`.
pub const COMPLETION: &str = "\
Examples:
  callgate completion bash > ~/.local/share/bash-completion/completions/callgate
  callgate completion zsh > ~/.zfunc/_callgate
  callgate completion fish > ~/.config/fish/completions/callgate.fish";

/// Of `man`.
pub const MAN: &str = "\
Examples:
  callgate man | man -l -
  callgate man --dir ~/.local/share/man/man1";
