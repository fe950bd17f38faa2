use proptest::prelude::*;

use super::{
    super::json::{FaultKind, samples},
    *,
};

fn action(arguments: &str) -> Result<Action, ActionError> {
    let name = |text| Name::new(text).unwrap();
    Action::new(name("acme"), name("ada"), name("files"), Name::tool("fs/write").unwrap(), arguments, 262_144)
}

fn fault_name(error: &ActionError) -> &'static str {
    match error {
        ActionError::NotAnObject { .. } => "not_an_object",
        ActionError::Json(fault) => match fault.kind {
            FaultKind::Syntax { .. } => "syntax",
            FaultKind::Trailing { .. } => "trailing",
            FaultKind::DuplicateKey => "duplicate_key",
            FaultKind::LoneSurrogate { .. } => "lone_surrogate",
            FaultKind::Exponent { .. } => "exponent",
            FaultKind::TooDeep { .. } => "too_deep",
            FaultKind::TooLarge { .. } => "too_large",
        },
    }
}

#[test]
fn the_golden_vectors_hold() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/golden/action-digest.json")).unwrap();
    let vectors = golden["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 40);
    for vector in vectors {
        let text = |field: &str| vector[field].as_str().unwrap();
        let name = |field: &str| Name::tool(text(field)).unwrap();
        let (tenant, user) = (name("tenant"), name("user"));
        let action =
            Action::new(tenant, user, name("server"), name("tool"), text("arguments"), 262_144).unwrap();
        let whole = format!("{{\"arguments\":{},\"server\":", action.canonical_arguments());
        assert!(text("canonical").starts_with(&whole), "{}: {whole}", text("name"));
        assert_eq!(action.digest().to_string(), text("digest"), "{}", text("name"));
    }
}

#[test]
fn the_golden_refusals_hold() {
    let golden: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/golden/action-digest.json")).unwrap();
    let refused = golden["refused"].as_array().unwrap();
    assert!(refused.len() >= 15);
    for vector in refused {
        let text = |field: &str| vector[field].as_str().unwrap();
        let error = action(text("arguments")).expect_err(text("name"));
        assert_eq!((fault_name(&error), error.path()), (text("fault"), text("path")), "{}", text("name"));
    }
}

#[test]
fn absent_arguments_are_an_empty_object() {
    let empty = action("{}").unwrap();
    for blank in ["", " ", "\r\n\t "] {
        assert_eq!(action(blank).unwrap(), empty);
    }
    assert_eq!(empty.canonical_arguments(), "{}");
    assert_eq!(action("\u{a0}").unwrap_err().to_string(), "arguments: expected a value at byte 0");
    assert_eq!(action("[]").unwrap_err().to_string(), "arguments: expected a JSON object, found array");
    let error = action(&" ".repeat(262_145)).unwrap_err();
    assert_eq!(error.to_string(), "arguments: is 262145 bytes long, the limit is 262144");
}

#[test]
fn every_name_counts_in_its_own_place() {
    let name = |text| Name::new(text).unwrap();
    let digest = |tenant, user, server, tool| {
        Action::new(name(tenant), name(user), name(server), name(tool), "{}", 1000).unwrap().digest()
    };
    let mut digests = vec![
        digest("a", "b", "c", "d"),
        digest("b", "a", "c", "d"),
        digest("a", "b", "d", "c"),
        digest("a", "c", "b", "d"),
        digest("a", "d", "c", "b"),
        digest("c", "b", "a", "d"),
        digest("a", "b", "c", "D"),
        digest("a", "b", "c", "d\",\"v\":1}"),
    ];
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), 8);
}

#[test]
fn a_digest_reads_back_from_its_text_and_bytes() {
    let digest = action("{\"a\":1}").unwrap().digest();
    let text = digest.to_string();
    assert_eq!(text.len(), 64);
    assert_eq!(ActionDigest::parse(&text), Some(digest));
    assert_eq!(ActionDigest::parse(&text.to_uppercase()), Some(digest));
    assert_eq!(ActionDigest::from_bytes(*digest.as_bytes()), digest);
    for bad in ["", "+1", &"a".repeat(63), &"a".repeat(65), &"+1".repeat(32), &"é".repeat(32)] {
        assert_eq!(ActionDigest::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_prefix_has_8_to_64_hex_digits() {
    let digest = ActionDigest::from_bytes([0xab; 32]);
    for good in ["abababab", "ABABABABA", &"ab".repeat(32)] {
        assert!(digest.has_prefix(good), "{good}");
    }
    for bad in ["", "abababa", "abababac", "ababababg", "%bababab", &"ab".repeat(33)] {
        assert!(!digest.has_prefix(bad), "{bad}");
    }
}

proptest! {
    #[test]
    fn equal_actions_have_equal_digests_however_they_are_spelt(
        value in samples::arguments(), choices in proptest::collection::vec(any::<u8>(), 1..64),
    ) {
        let plain = action(&value.canonical()).unwrap();
        let odd = action(&samples::odd_spelling(&value, &choices)).unwrap();
        prop_assert_eq!(plain.digest(), odd.digest());
        prop_assert_eq!(plain, odd.clone());
        prop_assert_eq!(odd.canonical_arguments(), value.canonical());
    }

    #[test]
    fn different_actions_have_different_digests(left in samples::arguments(), right in samples::arguments()) {
        let digest = |value: &Value| action(&value.canonical()).unwrap().digest();
        prop_assert_eq!(digest(&left) == digest(&right), left == right);
    }

    #[test]
    fn one_changed_leaf_changes_the_digest(value in samples::value(), other in samples::value()) {
        let digest = |value: &Value| action(&format!("{{\"a\":[{}]}}", value.canonical())).unwrap().digest();
        prop_assert_eq!(digest(&value) == digest(&other), value == other);
        prop_assert_ne!(digest(&value), digest(&Value::String(value.canonical().into())));
    }
}
