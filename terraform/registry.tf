resource "google_artifact_registry_repository" "images" {
  # checkov:skip=CKV_GCP_84: images hold public packages and Winnow, nothing secret; Google's own encryption is enough
  project       = var.project
  location      = var.region
  repository_id = var.name
  format        = "DOCKER"
  description   = "Winnow's launcher and worker images."
  labels        = local.labels

  docker_config {
    immutable_tags = true
  }

  # Untagged images go after a month, but for the ten latest: a schedule may still name one by its digest.
  cleanup_policies {
    id     = "delete-untagged"
    action = "DELETE"
    condition {
      tag_state  = "UNTAGGED"
      older_than = "2592000s"
    }
  }

  cleanup_policies {
    id     = "keep-latest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }

  depends_on = [google_project_service.this]
}
