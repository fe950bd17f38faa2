//! Tenants: policies, who belongs to what, credentials, first answers.

use callgate::{
    domain::id::RequestId,
    store::{Answer, AnswerKey, Belonging, Cursor, Member, StoredPolicy, Through, Versions},
};

use super::*;

pub async fn a_tenant_is_made_once_and_its_policy_rises(database: &Database) {
    let opened = database.open().await;
    let nobody = name("nobody");
    assert_eq!(opened.store.versions(&nobody).await.unwrap(), Versions::default());
    assert_eq!(opened.store.policy(&nobody).await.unwrap(), None);
    let tenant = opened.tenant("acme").await;
    opened.clock.advance(Duration::from_secs(1));
    let changed = write(&*opened.store, |transaction| {
        Box::pin(async move {
            let again = transaction.insert_tenant(&name("acme"), "another").await?;
            let version = transaction
                .next_policy_version(&name("acme"), Some("policy two"), Some(&name("ann")))
                .await?;
            let seen = transaction.versions(&name("acme")).await?;
            Ok((again, version, seen, transaction.document(&name("acme")).await?))
        })
    });
    let (again, version, seen, document) = changed.await.unwrap();
    assert!(!again);
    assert_eq!((version, seen.policy, document.as_deref()), (2, 2, Some("policy two")));
    assert_eq!(opened.store.versions(&tenant).await.unwrap(), seen);
    let policy = StoredPolicy {
        document: "policy two".into(),
        version: 2,
        document_version: 2,
        change_time: at(1),
        changed_by: Some(name("ann")),
        enabled: true,
    };
    assert_eq!(opened.store.policy(&tenant).await.unwrap(), Some(policy));
    opened.tenant("aaa").await;
    assert_eq!(opened.store.tenants().await.unwrap(), [name("aaa"), name("acme")]);
    let unknown = write(&*opened.store, |transaction| {
        Box::pin(async move { transaction.next_policy_version(&name("nobody"), Some("x"), None).await })
    });
    assert!(matches!(unknown.await, Err(StoreError::Conflict("tenants"))));
}

fn belonging(user: &str, to: &str) -> Belonging {
    Belonging { member: Member::User(name(user)), to: to.into() }
}

fn place(department: &str, to: &str) -> Belonging {
    Belonging { member: Member::Department(name(department)), to: to.into() }
}

pub async fn belongings_keep_who_made_them_for_good(database: &Database) {
    let opened = database.open().await;
    opened.tenant("acme").await;
    let replace = |belongings: Vec<Belonging>, by: &'static str| {
        write(&*opened.store, move |transaction| {
            let belongings = belongings.clone();
            Box::pin(
                async move { transaction.add_belongings(&name("acme"), &belongings, Some(&name(by))).await },
            )
        })
    };
    replace(vec![belonging("bob", ""), belonging("bob", "role:dev"), belonging("eve", "")], "ann")
        .await
        .unwrap();
    replace(vec![belonging("bob", ""), belonging("bob", "role:ops")], "cat").await.unwrap();
    let makers = write(&*opened.store, |transaction| {
        Box::pin(async move {
            let tenant = name("acme");
            let mut one = credential(1);
            (one.user, one.made_by) = (name("bob"), Some(name("dan")));
            transaction.insert_credential(&one, &[1; 32]).await?;
            let mut two = credential(2);
            (two.user, two.made_by) = (name("bob"), Some(name("fay")));
            transaction.insert_credential(&two, &[2; 32]).await?;
            Ok([
                transaction.makers(&tenant, &name("bob"), Through::Memberships).await?,
                transaction.makers(&tenant, &name("bob"), Through::Credential(one.id)).await?,
                transaction.makers(&tenant, &name("bob"), Through::Credentials).await?,
                transaction.makers(&tenant, &name("eve"), Through::Credentials).await?,
            ])
        })
    });
    let names = |list: &[&str]| list.iter().copied().map(name).collect::<Vec<_>>();
    let expected = [
        names(&["ann", "cat"]),
        names(&["ann", "cat", "dan"]),
        names(&["ann", "cat", "dan", "fay"]),
        names(&["ann"]),
    ];
    assert_eq!(makers.await.unwrap(), expected);
}

pub async fn who_made_what_departments_belong_to_made_it_for_their_members(database: &Database) {
    let opened = database.open().await;
    for tenant in ["acme", "other"] {
        opened.tenant(tenant).await;
    }
    for (tenant, by, belongings) in [
        ("acme", "hr", vec![belonging("bob", "department:night"), belonging("eve", "role:dev")]),
        ("acme", "ann", vec![place("night", "department:ops"), place("day", "role:approver")]),
        ("acme", "cat", vec![place("ops", "role:approver"), place("ops", "department:board")]),
        // Who comes later made nothing; and a department may have stood on either side of another.
        ("acme", "late", vec![place("ops", "role:approver"), place("night", "department:ops")]),
        ("acme", "dan", vec![place("board", "department:night"), belonging("fay", "department:board")]),
        ("other", "gus", vec![place("night", "role:approver"), belonging("bob", "department:night")]),
    ] {
        write(&*opened.store, move |transaction| {
            let belongings = belongings.clone();
            Box::pin(
                async move { transaction.add_belongings(&name(tenant), &belongings, Some(&name(by))).await },
            )
        })
        .await
        .unwrap();
    }
    for (tenant, user, makers) in [
        ("acme", "bob", vec!["ann", "cat", "dan", "hr"]),
        ("acme", "fay", vec!["ann", "cat", "dan"]),
        ("acme", "eve", vec!["hr"]),
        ("acme", "nobody", vec![]),
        ("other", "bob", vec!["gus"]),
    ] {
        let found = write(&*opened.store, move |transaction| {
            Box::pin(
                async move { transaction.makers(&name(tenant), &name(user), Through::Memberships).await },
            )
        });
        let expected: Vec<_> = makers.into_iter().map(name).collect();
        assert_eq!(found.await.unwrap(), expected, "{user} of {tenant}");
    }
}

async fn store_credential(opened: &Opened, number: u8) {
    write(&*opened.store, move |transaction| {
        Box::pin(async move { transaction.insert_credential(&credential(number), &[number; 32]).await })
    })
    .await
    .unwrap();
}

async fn revoke(opened: &Opened, number: u8) -> Result<(), StoreError> {
    write(&*opened.store, move |transaction| {
        Box::pin(async move { transaction.revoke_credential(&name("acme"), credential(number).id).await })
    })
    .await
}

pub async fn a_credential_is_found_by_its_hash_until_it_is_revoked_and_after(database: &Database) {
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    store_credential(&opened, 1).await;
    let (found, version) = opened.store.credential_by_hash(&[1; 32]).await.unwrap().unwrap();
    assert_eq!(found, credential(1));
    assert_eq!(version, opened.store.versions(&tenant).await.unwrap().credentials);
    assert_eq!(opened.store.credential_by_hash(&[2; 32]).await.unwrap(), None);
    opened.clock.advance(Duration::from_secs(4));
    revoke(&opened, 1).await.unwrap();
    let (found, newer) = opened.store.credential_by_hash(&[1; 32]).await.unwrap().unwrap();
    assert_eq!((found.revoke_time, newer), (Some(at(4)), version + 1));
    assert!(matches!(revoke(&opened, 1).await, Err(StoreError::Conflict("credentials"))));
    let same_secret = write(&*opened.store, |transaction| {
        Box::pin(async move { transaction.insert_credential(&credential(2), &[1; 32]).await })
    });
    assert!(matches!(same_secret.await, Err(StoreError::Conflict(_))));
}

pub async fn credentials_are_listed_in_order_of_creation(database: &Database) {
    let opened = database.open().await;
    let tenant = opened.tenant("acme").await;
    for number in [2, 1, 3] {
        store_credential(&opened, number).await;
    }
    revoke(&opened, 2).await.unwrap();
    let list = |closed: bool, page: Page| {
        let (store, tenant) = (Arc::clone(&opened.store), tenant.clone());
        async move {
            let found = store.credentials(&tenant, Some(&name("dev_user")), closed, page).await.unwrap();
            found.iter().map(|credential| credential.id.as_bytes()[0]).collect::<Vec<_>>()
        }
    };
    assert_eq!(list(false, page(10)).await, [1, 3]);
    assert_eq!(list(true, page(2)).await, [1, 2]);
    let after = Some(Cursor { create_time: at(2), id: [2; 16] });
    assert_eq!(list(true, Page { after, limit: 2 }).await, [3]);
    opened.clock.advance(Duration::from_secs(1_000));
    assert!(list(false, page(10)).await.is_empty());
    assert_eq!(opened.store.credentials(&tenant, Some(&name("x")), true, page(9)).await.unwrap(), []);
}

pub async fn first_answers_are_kept_and_dropped_by_age(database: &Database) {
    let opened = database.open().await;
    opened.tenant("acme").await;
    let key = |number: u8| AnswerKey {
        tenant: name("acme"),
        user: name("bob"),
        rpc: "ReviewService.Decide",
        request_id: RequestId::from_bytes([number; 16]),
    };
    let answer = |text: &str| Answer { body: [7; 32], value: text.into() };
    let keep = |number: u8, text: &'static str| {
        write(&*opened.store, move |transaction| {
            Box::pin(async move { transaction.insert_answer(&key(number), &answer(text)).await })
        })
    };
    let read = |number: u8, since: Timestamp| {
        write(&*opened.store, move |transaction| {
            Box::pin(async move { transaction.answer(&key(number), since).await })
        })
    };
    for number in 1..=3 {
        keep(number, "first").await.unwrap();
    }
    assert_eq!(read(1, at(0)).await.unwrap(), Some(answer("first")));
    assert_eq!(read(1, at(1)).await.unwrap(), None, "too old");
    assert_eq!(read(4, at(0)).await.unwrap(), None);
    opened.clock.advance(Duration::from_mins(1));
    keep(1, "second").await.unwrap();
    assert_eq!(read(1, at(60)).await.unwrap(), Some(answer("second")));
    let drop_some = |limit: u32| {
        write(&*opened.store, move |transaction| {
            Box::pin(async move { transaction.drop_answers(at(60), limit).await })
        })
    };
    assert_eq!(drop_some(1).await.unwrap(), 1);
    assert_eq!(drop_some(10).await.unwrap(), 1);
    assert_eq!(drop_some(10).await.unwrap(), 0);
    assert_eq!(read(1, at(0)).await.unwrap(), Some(answer("second")));
}
