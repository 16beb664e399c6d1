//! Sentinels that ask who we are.

use outlast_store::{
    StoreError,
    redis::{Access, Redis, RedisSettings},
};

use crate::{scene::LAYOUT, server::patient, site::Site, watched::Watched};

async fn connect(site: &Watched, access: Access) -> Result<(), StoreError> {
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
    let site = Watched::start_with_users();
    connect(&site, site.access()).await.unwrap();
    let nobody = Access {
        sentinel_user: None,
        sentinel_password: None,
        ..site.access()
    };
    let wrong = Access {
        sentinel_password: Some("wrong".into()),
        ..site.access()
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
    let error = connect(&site, site.access()).await.unwrap_err().to_string();
    assert!(error.contains("+sentinel|master"), "{error}");
}

#[tokio::test]
async fn one_sentinel_that_refuses_us_does_not_speak_for_the_others() {
    let site = Watched::start_with_users();
    let changed = [
        "ACL",
        "SETUSER",
        "outlast-sentinel",
        "resetpass",
        ">changed",
    ];
    site.tell_sentinel(1, &changed);
    connect(&site, site.access()).await.unwrap();
}

#[tokio::test]
async fn l5_who_is_refused_at_the_master_is_told_that_login() {
    let site = Watched::start_with_users();
    let wrong = Access {
        password: Some("wrong".into()),
        ..site.access()
    };
    let error = connect(&site, wrong).await.unwrap_err().to_string();
    assert!(error.contains("--store-password-file"), "{error}");
}
