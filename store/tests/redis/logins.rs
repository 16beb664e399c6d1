//! Sentinels that ask who we are.

use outlast_store::{
    StoreError,
    redis::{Access, Redis, RedisSettings},
};
use outlast_testkit::redis::{Sentinels, Site};

use crate::scene::{LAYOUT, access, patient};

async fn connect(site: &Sentinels, access: Access) -> Result<(), StoreError> {
    let settings = RedisSettings {
        access,
        ..patient()
    };
    Redis::connect(&site.url(), LAYOUT, settings)
        .await
        .map(drop)
}

#[tokio::test]
async fn l5_who_is_refused_at_the_sentinels_is_told_which_login_is_meant() {
    let site = Sentinels::start_with_users();
    connect(&site, access(site.login())).await.unwrap();
    let nobody = Access {
        sentinel_user: None,
        sentinel_password: None,
        ..access(site.login())
    };
    let wrong = Access {
        sentinel_password: Some("wrong".into()),
        ..access(site.login())
    };
    for access in [nobody, wrong] {
        let error = connect(&site, access).await.unwrap_err().to_string();
        let (user, file) = ("--store-sentinel-user", "--store-sentinel-password-file");
        assert!(error.contains(user) && error.contains(file), "{error}");
    }
    for number in 0..3 {
        let less = ["ACL", "SETUSER", "outlast-sentinel", "-sentinel|master"];
        site.tell_sentinel(number, &less);
    }
    let error = connect(&site, access(site.login()))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("+sentinel|master"), "{error}");
}

#[tokio::test]
async fn one_sentinel_that_refuses_us_does_not_speak_for_the_others() {
    let site = Sentinels::start_with_users();
    let changed = [
        "ACL",
        "SETUSER",
        "outlast-sentinel",
        "resetpass",
        ">changed",
    ];
    site.tell_sentinel(1, &changed);
    connect(&site, access(site.login())).await.unwrap();
}

#[tokio::test]
async fn l5_who_is_refused_at_the_master_is_told_that_login() {
    let site = Sentinels::start_with_users();
    let wrong = Access {
        password: Some("wrong".into()),
        ..access(site.login())
    };
    let error = connect(&site, wrong).await.unwrap_err().to_string();
    assert!(error.contains("--store-password-file"), "{error}");
}
