//! The Containerfiles that we write. Nothing in them comes from users but the reference of the image to build on, whose
//! grammar has neither white space nor line breaks.

/// Where what was installed can be looked up in the image.
const FOLDER: &str = "/etc/cnbi";

/// Installs a lock beside it, which is complete: nothing is resolved again.
pub fn packages(base: &str, python: &str, lock: &str) -> String {
    format!(
        r#"# Written by CNBi, for Python {python}.
FROM {base}
# Given where the package index has a certificate of the cluster's own authority.
ARG PIP_CERT
# Distributions guard their own Python; nothing but this image is at stake. An argument is not part of the image.
ARG PIP_BREAK_SYSTEM_PACKAGES=1
COPY {lock} {FOLDER}/{lock}
RUN ["python3", "-m", "pip", "install", "--no-input", "--no-cache-dir", "--disable-pip-version-check", "--no-deps", "--require-hashes", "--requirement", "{FOLDER}/{lock}"]
"#
    )
}

/// Brings conda's base environment to what a file beside it says.
pub fn environment(base: &str, file: &str) -> String {
    format!(
        r#"# Written by CNBi.
FROM {base}
COPY {file} {FOLDER}/{file}
RUN ["conda", "env", "update", "--quiet", "--name", "base", "--file", "{FOLDER}/{file}"]
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_as_they_have_always_been() {
        // These bytes are part of a commit: whoever changes them changes the commits of all who build again.
        assert_eq!(
            packages("quay.io/a/b@sha256:0", "3.11", "requirements.txt"),
            "# Written by CNBi, for Python 3.11.\n\
             FROM quay.io/a/b@sha256:0\n\
             # Given where the package index has a certificate of the cluster's own authority.\n\
             ARG PIP_CERT\n\
             # Distributions guard their own Python; nothing but this image is at stake. An argument is not part of the image.\n\
             ARG PIP_BREAK_SYSTEM_PACKAGES=1\n\
             COPY requirements.txt /etc/cnbi/requirements.txt\n\
             RUN [\"python3\", \"-m\", \"pip\", \"install\", \"--no-input\", \"--no-cache-dir\", \"--disable-pip-version-check\", \
             \"--no-deps\", \"--require-hashes\", \"--requirement\", \"/etc/cnbi/requirements.txt\"]\n"
        );
        assert!(environment("b", "environment.yml").contains("\"/etc/cnbi/environment.yml\"]\n"));
    }
}
