//! An example app: an HTTP order service that knows nothing of Lifeboat.

fn main() {}
