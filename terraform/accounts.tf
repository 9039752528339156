# Three accounts, each with what it does and no more; rights to data are given bucket by bucket.
#
# worker     runs workers and the launcher's machine: reads pools, models and templates, writes output and temp
# launcher   what people act as: launches templates, sees jobs
# scheduler  what the clock acts as: launches templates, runs the chains

resource "google_service_account" "worker" {
  project      = var.project
  account_id   = "${var.name}-worker"
  display_name = "Winnow workers"
  depends_on   = [google_project_service.this]
}

resource "google_service_account" "launcher" {
  project      = var.project
  account_id   = "${var.name}-launcher"
  display_name = "Winnow launches by people"
  depends_on   = [google_project_service.this]
}

resource "google_service_account" "scheduler" {
  project      = var.project
  account_id   = "${var.name}-scheduler"
  display_name = "Winnow launches by the clock"
  depends_on   = [google_project_service.this]
}

locals {
  launch_role   = "projects/${var.project}/roles/${google_project_iam_custom_role.launch.role_id}"
  worker_reads  = merge({ for bucket in var.input_buckets : bucket => bucket }, { for key in ["models", "templates"] : key => google_storage_bucket.this[key].name })
  worker_writes = { output = google_storage_bucket.this["output"].name, temp = google_storage_bucket.temp.name }
  launching     = { launcher = google_service_account.launcher.member, scheduler = google_service_account.scheduler.member }
}

resource "google_project_iam_member" "worker" {
  project = var.project
  role    = "roles/dataflow.worker"
  member  = google_service_account.worker.member
}

resource "google_storage_bucket_iam_member" "worker_reads" {
  for_each = local.worker_reads
  bucket   = each.value
  role     = "roles/storage.objectViewer"
  member   = google_service_account.worker.member
}

resource "google_storage_bucket_iam_member" "worker_writes" {
  for_each = local.worker_writes
  bucket   = each.value
  role     = "roles/storage.objectUser"
  member   = google_service_account.worker.member
}

# Beam and Dataflow ask for the bucket itself before they stage into it; objectUser does not allow that.
resource "google_storage_bucket_iam_member" "worker_sees" {
  for_each = local.worker_writes
  bucket   = each.value
  role     = "roles/storage.legacyBucketReader"
  member   = google_service_account.worker.member
}

resource "google_artifact_registry_repository_iam_member" "worker" {
  project    = var.project
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.worker.member
}

# roles/dataflow.developer would do, and holds more than launching and looking.
resource "google_project_iam_custom_role" "launch" {
  project     = var.project
  role_id     = "${replace(var.name, "-", "_")}_launch"
  title       = "Winnow launch"
  description = "Launch, see and cancel Dataflow jobs."
  permissions = [
    "dataflow.jobs.cancel",
    "dataflow.jobs.create",
    "dataflow.jobs.get",
    "dataflow.jobs.list",
    "dataflow.messages.list",
    "dataflow.metrics.get",
    "resourcemanager.projects.get",
  ]
  depends_on = [google_project_service.this]
}

resource "google_project_iam_member" "launching" {
  for_each = local.launching
  project  = var.project
  role     = local.launch_role
  member   = each.value
}

resource "google_service_account_iam_member" "launching" {
  for_each           = local.launching
  service_account_id = google_service_account.worker.name
  role               = "roles/iam.serviceAccountUser"
  member             = each.value
}

resource "google_storage_bucket_iam_member" "launching" {
  for_each = local.launching
  bucket   = google_storage_bucket.this["templates"].name
  role     = "roles/storage.objectViewer"
  member   = each.value
}

resource "google_storage_bucket_iam_member" "launching_temp" {
  for_each = local.launching
  bucket   = google_storage_bucket.temp.name
  role     = "roles/storage.legacyBucketReader"
  member   = each.value
}

resource "google_service_account_iam_member" "launchers" {
  for_each           = var.launchers
  service_account_id = google_service_account.launcher.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.value
}
