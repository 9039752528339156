# Every night: score yesterday's crawl on L4s, select by the DFN recipe with the threshold of all crawls so far, drop the
# images that an earlier one kept, write shards, and let it become the latest if it keeps its share and did not drift.

terraform {
  required_version = ">= 1.9, < 2.0"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "6.50.0"
    }
  }
}

variable "project" {
  type        = string
  description = "Id of the project."
}

variable "worker_image" {
  type        = string
  description = "Image of the workers, by digest; empty at the first apply."
  default     = ""
}

variable "launcher_image" {
  type        = string
  description = "Image of the launcher, by digest; empty at the first apply."
  default     = ""
}

variable "crawl_bucket" {
  type        = string
  description = "Bucket of the crawl: gs://BUCKET/2026-11-21/*.tar."
}

variable "alert_email" {
  type        = string
  description = "Who is told."
}

variable "billing_account" {
  type        = string
  description = "Id of the account that pays, for a budget; empty makes none."
  default     = ""
}

# The last two are for people's own credentials: without them the budgets' API does not know whom to bill its calls to.
provider "google" {
  project               = var.project
  region                = "us-central1"
  user_project_override = true
  billing_project       = var.project
}

locals {
  output = "gs://${var.project}-winnow-output/pool" # latest.json, and crawls/ID of each night
}

module "winnow" {
  # checkov:skip=CKV_TF_1: this very checkout; pin ?ref= to a commit where the source is a repository's address
  source         = "../.."
  project        = var.project
  region         = "us-central1"
  input_buckets  = [var.crawl_bucket]
  worker_image   = var.worker_image
  launcher_image = var.launcher_image
  alert_emails   = [var.alert_email]
  labels         = { team = "data" }
  budget         = var.billing_account == "" ? null : { billing_account = var.billing_account, amount = 5000 }

  chains = {
    nightly = {
      schedule = "0 3 * * *"
      steps = [
        {
          job     = "score"
          preset  = "l4"
          workers = 20
          parameters = {
            input     = "gs://${var.crawl_bucket}/{crawl_id}/*.tar"
            output    = local.output
            crawl_id  = "{yesterday}"
            model     = "dfn=gs://${var.project}-winnow-models/dfn"
            precision = "bf16"
          }
        },
        {
          job     = "select"
          workers = 4
          parameters = {
            output        = local.output
            crawl_id      = "{yesterday}"
            recipe        = "dfn"
            keep_fraction = "0.15"
            thresholds    = "pooled"
            dedup_against = "kept_images"
          }
        },
        {
          job        = "reshard"
          workers    = 10
          flexrs     = true
          parameters = { output = local.output, crawl_id = "{yesterday}" }
        },
        {
          job     = "publish"
          workers = 1
          parameters = {
            output         = local.output
            crawl_id       = "{yesterday}"
            gate_retention = "0.05,0.25"
            gate_drift     = "0.1"
          }
        },
      ]
    }
  }
}

output "launch_commands" {
  description = "Commands that launch each job by hand."
  value       = module.winnow.launch_commands
}

output "winnow" {
  description = "Everything that the module prints."
  value       = module.winnow
}
