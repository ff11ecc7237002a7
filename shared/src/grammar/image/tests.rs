use super::*;

const SHA256: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(text: &str) -> ImageReference {
    ImageReference::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn parts_are_parsed() {
    let cases = [
        ("ubuntu", None, "ubuntu", None, None),
        ("ubuntu:22.04", None, "ubuntu", Some("22.04"), None),
        ("host:5000/img", Some("host:5000"), "img", None, None),
        ("host:5000/a/b:v1", Some("host:5000"), "a/b", Some("v1"), None),
        ("host:5000", None, "host", Some("5000"), None),
        ("foo/bar:x", None, "foo/bar", Some("x"), None),
        ("localhost/x", Some("localhost"), "x", None, None),
        ("Foo/bar", Some("Foo"), "bar", None, None),
        ("[::1]:80/x:y", Some("[::1]:80"), "x", Some("y"), None),
        ("foo_bar.com/x", None, "foo_bar.com/x", None, None),
    ];
    for (text, registry, repository, tag, digest) in cases {
        let parsed = parse(text);
        assert_eq!(
            (parsed.registry(), parsed.repository(), parsed.tag(), parsed.digest()),
            (registry, repository, tag, digest)
        );
    }
    let text = format!("quay.io/a/b:v1@{SHA256}");
    let parsed = parse(&text);
    assert_eq!((parsed.tag(), parsed.digest()), (Some("v1"), Some(SHA256)));
    assert!(parse("a:b").has_tag_or_digest());
    assert!(!parse("host:5000/img").has_tag_or_digest());
}

#[test]
fn qualified_references_include_the_registry() {
    assert_eq!(parse("ubuntu:1").qualified(), "docker.io/library/ubuntu:1");
    assert_eq!(parse("a/b").qualified(), "docker.io/a/b");
    assert_eq!(parse("index.docker.io/b").qualified(), "docker.io/library/b");
    assert_eq!(parse("quay.io/b:1").qualified(), "quay.io/b:1");
}

#[test]
fn errors_describe_the_mistake() {
    use ImageReferenceError as E;
    let suggest = |text: &str| Some(text.to_owned());
    let cases = [
        (String::new(), E::Empty),
        (" ".to_owned(), E::Empty),
        (
            "docker://quay.io/a:1".to_owned(),
            E::Scheme {
                scheme: "docker://".into(),
                suggestion: suggest("quay.io/a:1"),
            },
        ),
        (
            "https://quay.io/a/".to_owned(),
            E::Scheme {
                scheme: "https://".into(),
                suggestion: suggest("quay.io/a"),
            },
        ),
        (
            "a:1\n".to_owned(),
            E::Whitespace {
                suggestion: suggest("a:1"),
            },
        ),
        ("a b".to_owned(), E::Whitespace { suggestion: None }),
        (
            "quay.io/Foo:V1".to_owned(),
            E::UpperCase {
                suggestion: "quay.io/foo:V1".into(),
            },
        ),
        (
            "Quay.io/Foo:V1".to_owned(),
            E::UpperCase {
                suggestion: "Quay.io/foo:V1".into(),
            },
        ),
        (
            "Foo".to_owned(),
            E::UpperCase {
                suggestion: "foo".into(),
            },
        ),
        ("a:".to_owned(), E::Tag(String::new())),
        ("a:.x".to_owned(), E::Tag(".x".into())),
        (format!("a:{}", "x".repeat(129)), E::Tag("x".repeat(129))),
        ("host:port/a".to_owned(), E::Port("port".into())),
        ("host:/a".to_owned(), E::Port(String::new())),
        ("a@".to_owned(), E::Digest),
        (format!("a@{}", SHA256.to_uppercase().replace("SHA", "sha")), E::Digest),
        (
            format!("a@{SHA256}0"),
            E::DigestLength {
                algorithm: "sha256",
                expected: 64,
                length: 65,
            },
        ),
        (format!("a@md5:{}", "0".repeat(32)), E::DigestAlgorithm("md5".into())),
        (format!("x.io/{}", "a".repeat(256)), E::TooLong(256)),
        ("a//b".to_owned(), E::EmptyComponent),
        ("a/".to_owned(), E::EmptyComponent),
        ("a___b".to_owned(), E::Component("a___b".into())),
        ("-a".to_owned(), E::Component("-a".into())),
    ];
    for (text, error) in cases {
        assert_eq!(ImageReference::parse(&text), Err(error), "{text:?}");
    }
}

/// The grammar accepts any hexadecimal digits and colons in brackets as an address.
#[test]
fn brackets_always_denote_a_registry() {
    for (text, registry) in [
        ("[51]/b", "[51]"),
        ("[::1]/b:c", "[::1]"),
        ("[::1]:5000/b", "[::1]:5000"),
    ] {
        let reference = ImageReference::parse(text).unwrap();
        assert_eq!(reference.registry(), Some(registry));
        assert_eq!(reference.qualified(), text);
    }
}
