//! The README shows what the example runs.

#[test]
fn the_readme_shows_the_example() {
    let readme = include_str!("../README.md");
    let example = include_str!("../examples/button.rs");
    let (_, code) = example.split_once("\n\n").expect("behind the first words");
    let (code, _) = code.split_once("\n#[cfg(test)]").expect("before the tests");
    assert!(
        readme.contains(&format!("```rust,no_run\n{code}```\n")),
        "README.md and examples/button.rs differ"
    );
}
