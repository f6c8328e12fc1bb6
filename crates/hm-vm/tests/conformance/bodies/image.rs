use crate::ground::{Ground, says};

pub(super) async fn missing_is_an_error(ground: &Ground) {
    let error = ground
        .backend
        .resolve_image("dir:/there/is/no/such/image")
        .await
        .unwrap_err();
    assert_eq!(error.code(), "image", "{error}");
    assert!(error.to_string().contains("/there/is/no/such/image"));
    assert!(std::error::Error::source(&error).is_some());
}

pub(super) async fn has_a_stable_digest(ground: &Ground) {
    let again = ground.backend.resolve_image(ground.image.reference()).await.unwrap();
    assert_eq!(again.digest(), ground.image.digest());
}

pub(super) async fn is_never_changed(ground: &Ground) {
    let mut machine = ground.boot().await;
    says(
        &mut *machine,
        "echo x > /etc/hm-test; rm -f /etc/passwd; [ ! -e /etc/passwd ]",
        "",
    )
    .await;
    machine.close().await.unwrap();
    let mut machine = ground.boot().await;
    says(&mut *machine, "[ ! -e /etc/hm-test ] && [ -s /etc/passwd ]", "").await;
    machine.close().await.unwrap();
}
