//! Parsed values of the resource, parsed once for all rules.
//!
//! Contains only fields of the build type within their limits; CNB001 and CNB005 report the others.

use std::cell::OnceCell;

use super::Context;
use super::size::exceeds;
use crate::api::{BuildType, Field, limits};
use crate::grammar::clone_url::{CloneUrl, CloneUrlError};
use crate::grammar::image::{ImageReference, ImageReferenceError};
use crate::grammar::requirement::{PackageItemError, Requirement, parse_package_item};
use crate::path::FieldId;

/// An image of the build.
#[derive(Debug)]
pub struct Image<'a> {
    /// The field.
    pub field: FieldId,
    /// The text.
    pub text: &'a str,
    /// The result of parsing it.
    pub reference: Result<ImageReference, ImageReferenceError>,
}

/// One item of `spec.packageVersions`.
#[derive(Debug)]
pub struct Package<'a> {
    /// Its index in the list, from 0.
    pub index: usize,
    /// The text.
    pub text: &'a str,
    /// The result of parsing it.
    pub requirement: Result<Requirement<'a>, PackageItemError>,
}

/// The repository of the build.
#[derive(Debug)]
pub struct Repository<'a> {
    /// The text.
    pub text: &'a str,
    /// The result of parsing it.
    pub url: Result<CloneUrl, CloneUrlError>,
}

/// Parsed on first use.
#[derive(Debug, Default)]
pub(super) struct Parsed<'a> {
    images: OnceCell<Vec<Image<'a>>>,
    packages: OnceCell<Vec<Package<'a>>>,
    repository: OnceCell<Option<Repository<'a>>>,
}

impl<'a> Context<'a> {
    /// The images of the build, in the order of the fields.
    pub fn images(&self) -> &[Image<'a>] {
        self.parsed.images.get_or_init(|| {
            let fields: &[(FieldId, &'a Field<String>)] = match self.build_type() {
                Some(BuildType::ImageImport) => &[(FieldId::FromImage, &self.spec.from_image)],
                Some(BuildType::PackageList | BuildType::GitRepository) => {
                    &[(FieldId::BuilderImage, &self.spec.builder_image)]
                }
                None => &[],
            };
            let texts = fields.iter().filter_map(|(field, value)| Some((*field, value.text()?)));
            texts
                .filter(|(_, text)| !exceeds(text, limits::IMAGE))
                .map(|(field, text)| Image {
                    field,
                    text,
                    reference: ImageReference::parse(text),
                })
                .collect()
        })
    }

    /// The images with a valid reference.
    pub fn valid_images(&self) -> impl Iterator<Item = (&Image<'a>, &ImageReference)> {
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
                        requirement: parse_package_item(text),
                    }),
            );
            packages
        })
    }

    /// The items that are valid requirements.
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
                url: CloneUrl::parse(text),
            })
        });
        repository.as_ref()
    }
}
