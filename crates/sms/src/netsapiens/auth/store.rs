use std::fmt;
use std::pin::Pin;
use std::time::Duration;

/// What a store answers; the error says why it does not.
pub type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, String>> + Send + 'a>>;

/// Where the replicas of a house share a token, so that they do not log each other out: a refresh token is good once.
pub trait TokenStore: fmt::Debug + Send + Sync {
    /// What is kept under a name, and its version.
    fn read<'a>(&'a self, name: &'a str) -> Stored<'a, Option<(String, u64)>>;

    /// Replaces the version that was read, 0 for nothing; whether it was still that one.
    fn put<'a>(&'a self, name: &'a str, expected: u64, value: &'a str) -> Stored<'a, bool>;

    /// Makes `owner` the only one who renews, for so long; whether it is.
    fn lease<'a>(&'a self, name: &'a str, owner: &'a str, long: Duration) -> Stored<'a, bool>;

    /// Ends that.
    fn release<'a>(&'a self, name: &'a str, owner: &'a str) -> Stored<'a, ()>;
}
