# Four buckets of one region, none of them public, access by bucket alone.

locals {
  buckets = {
    output    = { versioned = false, soft_delete_days = 7 }
    models    = { versioned = true, soft_delete_days = 7 }
    templates = { versioned = true, soft_delete_days = 7 }
  }
}

resource "google_storage_bucket" "this" {
  # checkov:skip=CKV_GCP_62: access logs of a data plane of millions of reads cost more than they tell; turn on audit logs where they are a duty
  # checkov:skip=CKV_GCP_78: models and templates are versioned; output is written by content and kept by soft delete, versions would double its price
  for_each                    = local.buckets
  project                     = var.project
  name                        = "${var.project}-${var.name}-${each.key}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.force_destroy
  labels                      = local.labels

  versioning {
    enabled = each.value.versioned
  }

  soft_delete_policy {
    retention_duration_seconds = each.value.soft_delete_days * 86400
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.value.versioned ? [1] : []
    content {
      action {
        type = "Delete"
      }
      condition {
        num_newer_versions         = 5
        days_since_noncurrent_time = 30
      }
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_storage_bucket" "temp" {
  # checkov:skip=CKV_GCP_62: temporary files; nothing reads them but the job that wrote them
  # checkov:skip=CKV_GCP_78: temporary files; a version of one is a second bill for nothing
  project                     = var.project
  name                        = "${var.project}-${var.name}-temp"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true
  labels                      = local.labels

  # Soft delete would keep, and bill, every temporary file for a week more; Beam warns about it.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = var.temp_days
    }
  }

  depends_on = [google_project_service.this]
}
