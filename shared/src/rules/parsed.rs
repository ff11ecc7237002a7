//! What a resource's texts say, parsed once for all the rules that look at them.
//!
//! Holds only what the chosen build type takes and what is within its limits: rules CNB001 and CNB005 speak of the rest.

use std::cell::OnceCell;

use super::Context;
use super::size::exceeds;
use crate::api::{BuildType, Field, limits};
use crate::grammar::clone_url::{CloneUrl, CloneUrlError, clone_url};
use crate::grammar::image::{ImageReference, ImageReferenceError};
use crate::grammar::requirement::{Refusal, Requirement, admit};
use crate::path::FieldId;

/// An image that the build would use.
#[derive(Debug)]
pub struct Image<'a> {
    /// The field that names it.
    pub at: FieldId,
    /// As it was written.
    pub text: &'a str,
    /// What it says.
    pub reference: Result<ImageReference, ImageReferenceError>,
}

/// One item of `spec.packageVersions`.
#[derive(Debug)]
pub struct Package<'a> {
    /// Its place in the list, from 0.
    pub index: usize,
    /// As it was written.
    pub text: &'a str,
    /// What it says.
    pub requirement: Result<Requirement<'a>, Refusal>,
}

/// The repository that the build would clone.
#[derive(Debug)]
pub struct Repository<'a> {
    /// As it was written.
    pub text: &'a str,
    /// What it says.
    pub url: Result<CloneUrl, CloneUrlError>,
}

/// Filled in by whichever rule asks first.
#[derive(Debug, Default)]
pub(super) struct Parsed<'a> {
    images: OnceCell<Vec<Image<'a>>>,
    packages: OnceCell<Vec<Package<'a>>>,
    repository: OnceCell<Option<Repository<'a>>>,
}

impl<'a> Context<'a> {
    /// The images that the build would use, in the order of the fields.
    pub fn images(&self) -> &[Image<'a>] {
        self.parsed.images.get_or_init(|| {
            let fields: &[(FieldId, &'a Field<String>)] = match self.build_type() {
                Some(BuildType::ImageImport) => &[(FieldId::FromImage, &self.spec.from_image)],
                Some(BuildType::PackageList | BuildType::GitRepository) => {
                    &[(FieldId::BuilderImage, &self.spec.builder_image)]
                }
                None => &[],
            };
            let texts = fields.iter().filter_map(|(at, field)| Some((*at, field.text()?)));
            texts
                .filter(|(_, text)| !exceeds(text, limits::IMAGE))
                .map(|(at, text)| Image {
                    at,
                    text,
                    reference: ImageReference::parse(text),
                })
                .collect()
        })
    }

    /// The images whose reference is a legal one.
    pub fn references(&self) -> impl Iterator<Item = (&Image<'a>, &ImageReference)> {
        self.images()
            .iter()
            .filter_map(|image| Some((image, image.reference.as_ref().ok()?)))
    }

    /// The items of a package list.
    pub fn packages(&self) -> &[Package<'a>] {
        self.parsed.packages.get_or_init(|| {
            if self.build_type() != Some(BuildType::PackageList) {
                return Vec::new();
            }
            let mut packages = Vec::with_capacity(self.spec.package_items().len());
            packages.extend(
                self.spec
                    .packages()
                    .filter(|(_, text)| !exceeds(text, limits::PACKAGE))
                    .map(|(index, text)| Package {
                        index,
                        text,
                        requirement: admit(text),
                    }),
            );
            packages
        })
    }

    /// The items that are legal requirements.
    pub fn requirements(&self) -> impl Iterator<Item = (&Package<'a>, &Requirement<'a>)> {
        self.packages()
            .iter()
            .filter_map(|package| Some((package, package.requirement.as_ref().ok()?)))
    }

    /// The repository of a Git build.
    pub fn repository(&self) -> Option<&Repository<'a>> {
        let repository = self.parsed.repository.get_or_init(|| {
            let is_cloned = self.build_type() == Some(BuildType::GitRepository);
            let text = self.spec.repository_url.text().filter(|_| is_cloned)?;
            (!exceeds(text, limits::REPOSITORY_URL)).then(|| Repository {
                text,
                url: clone_url(text),
            })
        });
        repository.as_ref()
    }
}
