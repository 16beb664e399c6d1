use super::Harness;
use crate::Terms;

pub async fn l10_the_first_terms_count_until_others_are_decreed(harness: &dyn Harness) {
    let (a, b) = (harness.connect().await, harness.connect().await);
    let [first, second, third] = [1, 2, 3].map(|ms| Terms {
        ttl_ms: 10 * ms,
        grace_ms: ms,
    });
    assert_eq!(a.agree(first).await, Ok(first));
    assert_eq!(b.agree(second).await, Ok(first));
    b.decree(second).await.unwrap();
    assert_eq!(a.agree(third).await, Ok(second));
    assert_eq!(b.agree(third).await, Ok(second));
}
