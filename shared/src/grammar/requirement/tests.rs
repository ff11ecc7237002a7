use super::*;

fn parse(text: &str) -> Requirement<'_> {
    Requirement::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error} at {}", error.offset))
}

fn kind(text: &str) -> RequirementErrorKind {
    Requirement::parse(text).expect_err(text).kind
}

#[test]
fn parts_are_parsed() {
    let requirement = parse(" Foo_Bar[a, B.c] >= 1.0 ,!=1.1.*; python_version<'3.9'\n");
    assert_eq!(requirement.name(), "Foo_Bar");
    assert_eq!(requirement.normalized_name(), "foo-bar");
    assert_eq!(requirement.extras(), ["a", "B.c"]);
    let specifiers: Vec<String> = requirement.specifiers().iter().map(ToString::to_string).collect();
    assert_eq!(specifiers, [">=1.0", "!=1.1.*"]);
    assert!(requirement.marker().is_some());
    let direct = parse("pip@https://x.io/pip.whl;a ; os_name=='posix'");
    assert_eq!(direct.url(), Some("https://x.io/pip.whl;a"));
    assert!(direct.marker().is_some());
    assert_eq!(normalize_name("A.-_b"), "a-b");
}

#[test]
fn everything_that_packaging_accepts_is_accepted() {
    for text in [
        "a",
        "a_",
        "requirements.txt",
        "x.whl",
        "foo[]",
        "foo ( )",
        "foo(>=1,)",
        "foo >=1,",
        "foo===",
        "foo===any_thing",
        "foo===a,==1",
        "foo==1.0a.",
        "foo==1!v1".replace("!v", "!").as_str(),
        "foo==v1.0",
        "foo!=1.0+Local-1",
        "foo~=1.0.po\u{17f}t1",
        "foo@1.2",
        "foo @ \u{e9};x",
        "foo;'a'=='\\d'",
        "foo;\"a\"in os_name and os.name not  in'b'or(python_version<='3')",
    ] {
        parse(text);
    }
}

#[test]
fn every_kind_of_error_is_reported() {
    use RequirementErrorKind as Kind;
    let cases = [
        ("", Kind::Empty),
        (" \n", Kind::Empty),
        ("a\nb", Kind::LineBreak),
        ("a==\u{2028}1", Kind::LineBreak),
        ("==1", Kind::Name),
        ("\u{a0}a", Kind::Name),
        ("foo.", Kind::NameEnd),
        ("foo[a,]", Kind::Extras),
        ("foo[a b]", Kind::Extras),
        ("foo 1.2", Kind::AfterName),
        ("foo\u{e9}", Kind::AfterName),
        ("foo=1.2", Kind::Specifier("=1.2".into())),
        ("foo~=1", Kind::Specifier("~=1".into())),
        ("foo===a,b", Kind::Specifier("b".into())),
        ("foo(>=1", Kind::SpecifierParenthesis),
        ("foo>=1.*", Kind::Wildcard),
        ("foo==1a1.*", Kind::Wildcard),
        ("foo>=1+x", Kind::LocalVersion),
        ("foo==1.2.", Kind::AfterSpecifiers),
        ("foo>=1)", Kind::AfterSpecifiers),
        ("foo @ ", Kind::AfterName),
        ("foo @ x y", Kind::AfterUrl),
        ("foo;", Kind::MarkerOperand),
        ("foo;x=='1'", Kind::MarkerOperand),
        ("foo;os_name", Kind::MarkerOperator),
        ("foo;os_name notin 'x'", Kind::MarkerOperator),
        ("foo;os_name=='x", Kind::MarkerString),
        ("foo;os_name=='\\x'", Kind::MarkerString),
        ("foo;(os_name=='x'", Kind::MarkerParenthesis),
        ("foo;os_name=='x')", Kind::AfterMarker),
        ("foo;os_name=='x' andos_name=='x'", Kind::AfterMarker),
    ];
    for (text, expected) in cases {
        let expected = if text == "foo @ " { Kind::Url } else { expected };
        assert_eq!(kind(text), expected, "{text:?}");
    }
}

#[test]
fn hostile_texts_are_rejected_quickly() {
    let deep = |depth: usize| format!("a;{}os_name==''{}", "(".repeat(depth), ")".repeat(depth));
    parse(&deep(MARKER_DEPTH_MAX));
    assert_eq!(kind(&deep(100_000)), RequirementErrorKind::MarkerDepth);
    for text in [
        "a".repeat(1 << 20),
        format!("a{}", ".".repeat(1 << 20)),
        format!("a=={}", "1.".repeat(1 << 19)),
        format!("a{}", ">=1,".repeat(1 << 18)),
        format!("a[{}", "b,".repeat(1 << 19)),
        format!("a;{}os_name==''", "os_name=='' or ".repeat(1 << 16)),
        format!("a {}", "b ".repeat(1 << 19)),
        format!("a;os_name=='{}", "\\".repeat(1 << 20)),
    ] {
        if let Ok(requirement) = parse_package_item(&text) {
            assert!(!requirement.specifiers().contradict());
            if let Some(marker) = requirement.marker() {
                assert!(!marker.disjoint(marker));
                marker.evaluate(&Environment::for_python("3.8"));
            }
        }
        assert_eq!(suggest(&text), None);
    }
}

#[test]
fn contradictions_are_found_and_only_those() {
    for text in [
        ">2,<1",
        "==1,==2",
        "==1.0,!=1.0",
        ">1,<1.0.post5",
        ">=1,<1",
        "==1.*,>=2",
        "~=1.2,<1.2",
        "<0",
        ">1.0a1,<1.0a2.dev0",
        "===1,===2",
        "===1.0,>2",
        "===x,>=1",
        "==1.0+a,==1.0+b",
        "!=1.*,==1.5",
    ] {
        assert!(parse(&format!("a{text}")).specifiers().contradict(), "{text}");
    }
    for text in [
        "",
        ">1,<2",
        "==1.0,==1.0+a",
        "==1.0,!=1.0+a",
        "===1.0,>=1",
        ">=1.0.dev0,<1.0a1",
        ">1,!=2",
        "===x",
        "===x,===X",
        ">99999999999999999999,<1",
        "===1.99999999999999999999,>=1",
    ] {
        assert!(!parse(&format!("a{text}")).specifiers().contradict(), "{text}");
    }
}

const VERSIONS: [&str; 17] = [
    "0",
    "1",
    "1.0",
    "1.0.0",
    "01",
    "1.5",
    "1.10",
    "1.9",
    "2",
    "1a1",
    "1.dev0",
    "1.post1",
    "1+a",
    "1!0",
    "999999999",
    "9999999999",
    "1.*",
];
const OPERATORS: [&str; 8] = [">=", "<", ">", "<=", "!=", "==", "~=", "==="];

#[test]
fn the_fast_path_of_satisfiability_agrees_with_ranges() {
    for (left, right) in OPERATORS.iter().flat_map(|left| OPERATORS.map(|right| (left, right))) {
        for (from, to) in VERSIONS.iter().flat_map(|from| VERSIONS.map(|to| (from, to))) {
            let text = format!("a{left}{from},{right}{to}");
            let Ok(requirement) = Requirement::parse(&text) else {
                continue;
            };
            let specifiers: Vec<_> = requirement.specifiers().iter().copied().collect();
            assert_eq!(
                range::unsatisfiable(&specifiers),
                range::unsatisfiable_by_ranges(&specifiers),
                "{text}"
            );
        }
    }
}

#[test]
fn the_fast_path_of_contains_agrees_with_ranges() {
    for (operator, version) in OPERATORS
        .iter()
        .flat_map(|operator| VERSIONS.map(|version| (operator, version)))
    {
        let text = format!("{operator}{version}");
        let Some(specifier) = Specifier::parse(&text) else {
            continue;
        };
        for candidate in VERSIONS {
            assert_eq!(
                range::contains(&specifier, candidate),
                range::contains_by_ranges(&specifier, candidate),
                "{text} and {candidate}"
            );
        }
    }
}

fn marker(text: &str) -> Marker {
    parse(&format!("a; {text}")).marker().expect("a marker").clone()
}

#[test]
fn markers_are_evaluated_for_a_python_version() {
    use Truth::{False, True, Unknown};
    let cases = [
        ("python_version < '3.9'", True),
        ("python_version < '3.10'", True),
        ("'3.9' <= python_version", False),
        ("python_version in '3.7 3.8'", True),
        ("python_version == '3.*'", True),
        ("python_full_version >= '3.8'", True),
        ("python_full_version >= '3.8.2'", Unknown),
        ("python_full_version < '3.8'", False),
        ("python_full_version == '3.8.*'", True),
        ("sys_platform == 'win32'", False),
        ("sys_platform == 'win32' or platform_machine == 'x86_64'", Unknown),
        (
            "sys_platform == 'linux' and os.name == 'posix' and platform_system == 'Linux'",
            True,
        ),
        ("platform_machine == 'x86_64' and python_version < '3'", False),
        ("extra == 'test'", False),
        ("'a' == 'a'", Unknown),
        (
            "sys_platform == 'win32' and os_name == 'nt' or python_version >= '3.8'",
            True,
        ),
        (
            "sys_platform == 'win32' and (os_name == 'nt' or python_version >= '3.8')",
            False,
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(
            marker(text).evaluate(&Environment::for_python("3.8")),
            expected,
            "{text}"
        );
    }
    let exact = Environment::for_python("3.8.10");
    assert_eq!(marker("python_full_version >= '3.8.2'").evaluate(&exact), True);
    assert_eq!(
        marker("python_version < '3.9'").evaluate(&Environment::for_python("x")),
        Unknown
    );
}

#[test]
fn disjoint_markers_are_found_and_only_those() {
    for (a, b) in [
        ("python_version < '3.8'", "python_version >= '3.8'"),
        ("python_version <= '3.7'", "python_version > '3.7'"),
        ("python_version > '3.7'", "python_version < '3.8'"),
        ("python_version == '3.8'", "python_full_version >= '3.9.0a1'"),
        ("sys_platform == 'linux'", "sys_platform != 'linux'"),
        ("sys_platform == 'linux'", "'win32' == sys.platform"),
        (
            "python_version < '3' or os_name == 'nt'",
            "python_version >= '3' and os_name != 'nt'",
        ),
    ] {
        assert!(marker(a).disjoint(&marker(b)), "{a} / {b}");
        assert!(marker(b).disjoint(&marker(a)), "{b} / {a}");
    }
    for (a, b) in [
        ("python_version < '3.8'", "python_version >= '3.7'"),
        ("python_version < '3.8'", "sys_platform == 'linux'"),
        ("extra == 'a'", "extra == 'b'"),
        ("python_version <= '3.7'", "python_full_version > '3.7'"),
        ("sys_platform == 'linux'", "sys_platform in 'linux win32'"),
        ("platform_release == '1.0'", "platform_release == '1'"),
        ("python_version < '3' or os_name == 'nt'", "os_name == 'nt'"),
    ] {
        assert!(!marker(a).disjoint(&marker(b)), "{a} / {b}");
    }
}

#[test]
fn common_mistakes_are_corrected() {
    for (text, expected) in [
        ("pandas=1.2", "pandas==1.2"),
        ("pandas = 1.2", "pandas==1.2"),
        ("pandas 1.2", "pandas==1.2"),
        ("pandas==1.2.", "pandas==1.2"),
        ("pandas=>1.2", "pandas>=1.2"),
        ("pandas==>1", "pandas>=1"),
        ("pandas > = 1", "pandas>=1"),
        ("pandas=<1.2", "pandas<=1.2"),
        ("pandas<>1.2", "pandas!=1.2"),
        ("pandas~>1.2", "pandas~=1.2"),
        ("pandas~=1", "pandas~=1.0"),
        ("pandas:1.2", "pandas==1.2"),
        ("pandas@1.2", "pandas==1.2"),
        ("pandas=1.2=py38_0", "pandas==1.2"),
        ("\u{201c}pandas==1.2\u{201d}", "pandas==1.2"),
        ("'pandas'", "pandas"),
        ("pandas==\"1.2\"", "pandas==1.2"),
        ("pandas = \"1.2\"", "pandas==1.2"),
        ("pandas,", "pandas"),
        ("pandas==1.2;", "pandas==1.2"),
        ("pandas==1.2 # why", "pandas==1.2"),
        ("- pandas", "pandas"),
        ("pip install pandas", "pandas"),
        ("pandas>=1 <2", "pandas>=1,<2"),
        ("pandas>=1 and <2", "pandas>=1,<2"),
        ("pandas>=1;<2", "pandas>=1,<2"),
        ("pandas==1.2.x", "pandas==1.2.*"),
        ("pandas>=1.2.*", "pandas>=1.2"),
        ("pandas==latest", "pandas"),
        ("pandas=*", "pandas"),
        ("pandas[sql]=1.2", "pandas[sql]==1.2"),
        ("pandas\u{2265}1.2", "pandas>=1.2"),
        ("pandas; python_version>=3.8", "pandas; python_version>=\"3.8\""),
        ("pandas.", "pandas"),
    ] {
        assert_eq!(suggest(text).as_deref(), Some(expected), "{text}");
    }
    for text in [
        "pandas",
        "pandas==1.2",
        "pandas @ https://x.io/p.whl",
        "",
        "!!!",
        "-r x.txt",
    ] {
        assert_eq!(suggest(text), None, "{text}");
    }
}

#[test]
fn options_files_and_lists_are_distinguished_from_mistakes() {
    use CommandLineSyntax::{File, LineBreak, Option as PipOption, Several};
    for (text, found) in [
        ("-r x.txt", PipOption),
        ("-rx.txt", PipOption),
        ("--index-url https://x.io", PipOption),
        ("--index-url=https://x.io", PipOption),
        ("-e .", PipOption),
        ("foo==1 --hash=sha256:abc", PipOption),
        ("\"--pre\"", PipOption),
        ("./x.whl", File),
        ("/x", File),
        ("~/x", File),
        (".", File),
        ("C:\\x", File),
        ("file:///x", File),
        ("FILE:x", File),
        ("dir/x.whl", File),
        ("https://x.io/x.whl", File),
        ("git+https://x.io/x@main", File),
        ("a\nb", LineBreak),
        ("a\r\n-r x", LineBreak),
        ("foo @ https://x.io/\u{2028}--pre", LineBreak),
        ("pandas numpy", Several),
        ("pandas, numpy", Several),
        ("pandas==1.2 numpy>=1", Several),
        ("pandas>=1,<2 numpy", Several),
    ] {
        assert_eq!(
            parse_package_item(text),
            Err(PackageItemError::CommandLineSyntax(found)),
            "{text:?}"
        );
    }
    for text in [
        "pandas 1.2",
        "pandas=1.2",
        "",
        "foo>=1 and <2",
        "foo v1",
        "foo; bar",
        "pandas~>1",
        "- pandas",
        "==1",
        "~=1",
    ] {
        assert!(
            matches!(parse_package_item(text), Err(PackageItemError::Requirement(_))),
            "{text:?}: {:?}",
            parse_package_item(text)
        );
    }
    for text in ["requirements.txt", "x.whl", "foo @ ./x", "foo @ file:///x"] {
        assert!(parse_package_item(text).is_ok(), "{text:?}");
    }
}
