//! Takes a certificate. Gives the names that it is for.
//! Never judges it: it was verified by the handshake.

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// The alternative names of a certificate's subject.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubjectNames {
    pub dns: Vec<Box<str>>,
    pub uris: Vec<Box<str>>,
}

impl SubjectNames {
    /// Those that can be read: none of a certificate that is none.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok(certificate) = EndEntityCert::try_from(certificate) else {
            return Self::default();
        };
        Self {
            dns: certificate.valid_dns_names().map(Into::into).collect(),
            uris: certificate.valid_uri_names().map(Into::into).collect(),
        }
    }
}
